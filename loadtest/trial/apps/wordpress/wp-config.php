<?php
// The configuration of the trial's WordPress. TRIAL_SOCKET is the database's socket, TRIAL_SITE is host:port of weir.
define( 'DB_NAME', 'wordpress' );
define( 'DB_USER', 'root' );
define( 'DB_PASSWORD', '' );
define( 'DB_HOST', 'localhost:' . getenv( 'TRIAL_SOCKET' ) );
define( 'DB_CHARSET', 'utf8mb4' );
define( 'DB_COLLATE', '' );
foreach ( array( 'AUTH_KEY', 'SECURE_AUTH_KEY', 'LOGGED_IN_KEY', 'NONCE_KEY', 'AUTH_SALT', 'SECURE_AUTH_SALT', 'LOGGED_IN_SALT', 'NONCE_SALT' ) as $name ) {
	define( $name, 'the trial: ' . $name );
}
$table_prefix = 'wp_';
define( 'WP_HOME', 'http://' . getenv( 'TRIAL_SITE' ) );
define( 'WP_SITEURL', WP_HOME );
define( 'WP_CONTENT_DIR', __DIR__ . '/wp-content' );
// Nothing leaves the machine, and nothing happens beside what the trial asks for.
define( 'DISABLE_WP_CRON', true );
define( 'AUTOMATIC_UPDATER_DISABLED', true );
define( 'WP_HTTP_BLOCK_EXTERNAL', true );
define( 'WP_ACCESSIBLE_HOSTS', '127.0.0.1,localhost' );
if ( ! defined( 'ABSPATH' ) ) {
	define( 'ABSPATH', __DIR__ . '/' );
}
require_once ABSPATH . 'wp-settings.php';
