// Package google implements clients of Google's Places APIs. Legacy uses the Nearby Search API of the paper
// and passes on its answer unchanged. Places uses its successor, Places API (New), and translates its
// answer to the legacy form. New Google projects can use only the latter.
//
// Every request costs money and carries an API key. So a client sends one request per lookup, follows no
// redirects, uses no proxy, limits the time and size of the answer, and keeps the key and URL out of
// errors. Retries are up to package guard, which decides by the places.Failure of each error.
package google
