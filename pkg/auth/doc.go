// Package auth is who asks, and how that is proven.
package auth
