// Package google asks Google's Places APIs over HTTP. Legacy is the one that the paper used, Nearby
// Search, whose answer is passed on as it came.
//
// Every lookup costs somebody money and carries a key, so a client follows no redirect, obeys no
// proxy of the environment, reads a bounded body within one deadline, and never lets the key or a
// URL into an error.
package google
