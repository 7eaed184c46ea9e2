<?php
// setup.php ADMIN USER...: installs WordPress with one post and a subscriber for each name; the password is the name.
define( 'WP_INSTALLING', true );
$_SERVER['HTTP_HOST'] = getenv( 'TRIAL_SITE' );
$_SERVER['REQUEST_URI'] = '/';
$db = new mysqli( 'localhost', 'root', '', '', 0, getenv( 'TRIAL_SOCKET' ) );
$db->query( 'CREATE DATABASE IF NOT EXISTS wordpress' ) || exit( $db->error );
require __DIR__ . '/wp-load.php';
require_once ABSPATH . 'wp-admin/includes/upgrade.php';
wp_install( 'Trial', $argv[1], $argv[1] . '@example.test', true, '', $argv[1] );
update_option( 'permalink_structure', '/%postname%/' );
update_option( 'comment_moderation', 1 );
flush_rewrite_rules();
foreach ( array_slice( $argv, 2 ) as $name ) {
	$id = wp_create_user( $name, $name, "$name@example.test" );
	is_wp_error( $id ) && exit( $id->get_error_message() . "\n" );
}
$post = array( 'post_title' => 'Long read', 'post_name' => 'long-read', 'post_content' => 'version 1', 'post_status' => 'publish', 'post_author' => 1 );
$id = wp_insert_post( $post );
$id && wp_insert_post( array( 'post_title' => 'Secret', 'post_name' => 'secret', 'post_password' => 'sesame', 'post_content' => 'behind the password', 'post_status' => 'publish', 'post_author' => 1 ) );
echo $id, "\n";
