// Package browser tests the console's page in a real browser: headless Chromium, driven by chromedp. The tests read what
// the page shows from its data-* attributes.
//
// Where there is no Chromium the tests do not run and say so; with CI set that is a failure.
package browser
