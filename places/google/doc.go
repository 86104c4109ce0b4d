// Package google asks Google's Places APIs over HTTP. Legacy is the one that the paper used, Nearby
// Search, whose answer is passed on as it came. Places is its successor, Places API (New), whose
// answer is translated into the other's form; Google lets new projects have only this one.
//
// Every lookup costs somebody money and carries a key, so a client makes one request, follows no
// redirect, obeys no proxy of the environment, reads a bounded body within one deadline, and never
// lets the key or a URL into an error. Whether to ask again is for package guard to decide, by the
// places.Failure that each error is.
package google
