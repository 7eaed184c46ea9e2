<?php
// What a rewrite rule is for other servers: files are served as they are, the rest is WordPress'.
// The built-in server of PHP sends neither Last-Modified nor ETag with files, so files are served here, as others do.
$path = urldecode( parse_url( $_SERVER['REQUEST_URI'], PHP_URL_PATH ) );
$file = realpath( __DIR__ . $path );
$inside = $file && strpos( $file, __DIR__ . '/' ) === 0;
if ( $inside && is_file( $file ) && substr( $file, -4 ) !== '.php' ) {
	$types = array( 'css' => 'text/css', 'js' => 'text/javascript', 'png' => 'image/png', 'svg' => 'image/svg+xml', 'woff2' => 'font/woff2' );
	$type = $types[ pathinfo( $file, PATHINFO_EXTENSION ) ] ?? 'application/octet-stream';
	header( "Content-Type: $type" );
	header( 'Content-Length: ' . filesize( $file ) );
	header( 'Last-Modified: ' . gmdate( 'D, d M Y H:i:s', filemtime( $file ) ) . ' GMT' );
	readfile( $file );
	return true;
}
if ( $inside && is_dir( $file ) && is_file( "$file/index.php" ) && $path !== '/' ) {
	$file .= '/index.php';
}
if ( $inside && is_file( $file ) ) {
	$_SERVER['SCRIPT_NAME'] = substr( $file, strlen( __DIR__ ) );
	$_SERVER['PHP_SELF'] = $_SERVER['SCRIPT_NAME'];
	$_SERVER['SCRIPT_FILENAME'] = $file;
	chdir( dirname( $file ) );
	require $file;
	return true;
}
$_SERVER['SCRIPT_NAME'] = '/index.php';
$_SERVER['PHP_SELF'] = '/index.php';
require __DIR__ . '/index.php';
return true;
