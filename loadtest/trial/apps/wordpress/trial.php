<?php
/*
Plugin Name: Trial
Description: Counts the pages that are made for visitors, allows comments in a row, and tells the cache what changed.
*/

// One line for each page, in the file that TRIAL_COUNT names: the trial reads it.
add_action(
	'template_redirect',
	function () {
		$path = parse_url( $_SERVER['REQUEST_URI'], PHP_URL_PATH );
		file_put_contents( getenv( 'TRIAL_COUNT' ), $path . "\n", FILE_APPEND | LOCK_EX );
	}
);
add_filter( 'wp_is_comment_flood', '__return_false', 100 );
add_filter( 'pre_wp_mail', '__return_true' );

// The requests that the plugin Proxy Cache Purge sends: the page and what lists it, one PURGE for each URL, or one
// for everything with X-Purge-Method: regex.
function trial_purge( $url, $method ) {
	$parts  = wp_parse_url( $url );
	$answer = wp_remote_request(
		$url,
		array(
			'method'    => 'PURGE',
			'sslverify' => false,
			'headers'   => array(
				'host'           => $parts['host'] . ':' . $parts['port'],
				'X-Purge-Method' => $method,
			),
		)
	);
	$status = is_wp_error( $answer ) ? $answer->get_error_message() : wp_remote_retrieve_response_code( $answer );
	file_put_contents( getenv( 'TRIAL_COUNT' ) . '.purges', "$method $url $status\n", FILE_APPEND | LOCK_EX );
}
add_action(
	'save_post',
	function ( $id, $post ) {
		if ( 'publish' !== $post->post_status || wp_installing() ) {
			return;
		}
		foreach ( array( get_permalink( $id ), home_url( '/' ), get_feed_link() ) as $url ) {
			trial_purge( $url, 'default' );
		}
	},
	10,
	2
);
add_action(
	'switch_theme',
	function () {
		trial_purge( home_url( '/.*' ), 'regex' );
	}
);
