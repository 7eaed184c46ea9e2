<?php
// edit.php TEXT gives the post a new text, edit.php --theme does what a change of the theme does; the cache is told.
$_SERVER['HTTP_HOST'] = getenv( 'TRIAL_SITE' );
$_SERVER['REQUEST_URI'] = '/';
require __DIR__ . '/wp-load.php';
$post = get_page_by_path( 'long-read', OBJECT, 'post' );
if ( '--theme' === $argv[1] ) {
	switch_theme( get_stylesheet() );
} else {
	wp_update_post( array( 'ID' => $post->ID, 'post_content' => $argv[1] ) );
}
