package configs

import "log/slog"

// AccessLog is where requests are logged.
type AccessLog struct {
	To AccessLogTo
	// File is the path for AccessLogFile.
	File string
}

// AccessLogTo is a destination of the access log.
type AccessLogTo uint8

// The destinations of the access log.
const (
	AccessLogOff AccessLogTo = iota
	AccessLogStderr
	AccessLogFile
)

// String names the destination as the file does.
func (a AccessLogTo) String() string {
	switch a {
	case AccessLogOff:
		return "off"
	case AccessLogStderr:
		return "stderr"
	case AccessLogFile:
		return "file"
	}
	return "unknown"
}

// Log is the program's own log, on stderr.
type Log struct {
	Level  slog.Level
	Format LogFormat
}

// LogFormat is the form of the program's own log.
type LogFormat uint8

// The forms of the program's own log.
const (
	LogText LogFormat = iota
	LogJSON
)

// String names the form as the file does.
func (f LogFormat) String() string {
	if f == LogJSON {
		return "json"
	}
	return "text"
}
