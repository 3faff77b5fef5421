// Package auth says who asks, and proves it.
//
// Everybody proves who they are by a token: a JSON Web Token, signed with Ed25519 and
// good for some minutes, that travels in the header Authorization, over HTTP and NATS
// alike. Whoever gets one verifies it by itself, with the public keys in the bucket
// [Bucket], and puts what it proves into the context:
//
//	id, err := verifier.Verify(ctx, token)
//	ctx = auth.With(ctx, id, token)
//	…
//	if !auth.From(ctx).Owns(order.UserID) { … }
//
// A token names its issuer, the service whose key signed it. The issuer [Users] speaks
// for users: the token has the user's id and roles. Every other issuer speaks for
// nobody but itself, whatever it claims. A key is kept under
// "<issuer>.<id>", so that permissions of NATS can confine each service to keys of its
// own, and only a key of that name verifies a token of that issuer.
//
//   - [Verifier] follows the bucket and verifies tokens.
//   - [ServiceTokens] makes the tokens of a service, with a key that lives as long as
//     the process.
//   - [Ring] makes the tokens of users, with keys that all replicas of the user service
//     share and that are replaced in time.
//
// A key is no good any more when it expires, or at once when it is taken out of the
// bucket. While NATS is down, keys that are known go on.
package auth
