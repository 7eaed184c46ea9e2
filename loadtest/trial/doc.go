// Package trial runs real applications behind weir, drives many visitors through both, and reports every answer that
// holds what belongs to another visitor. `make trial` starts it.
//
// The applications stand in apps: Express with sessions, Django, WordPress and Next.js. Each runs behind the README's
// configuration and behind its recipe in configs/examples, whose addresses and paths are the only thing that is changed.
// A visitor keeps cookies and the last answer for each URL, as a browser does. The trial knows every secret that a
// visitor was given (the name, cookies, tokens), and looks for each of them in all that others are sent.
//
// The package knows of weir only what a user knows: the program, its configuration and its admin plane.
package trial
