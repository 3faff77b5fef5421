// Package projection keeps read models in NATS key-value buckets, exactly in step
// with a history stream: each event is folded into the model once, whatever
// crashes, restarts or runs twice.
//
// A model is a function from events to keys:
//
//	view := projection.KV(js, "orders", func(tx *projection.Tx[Order], e event.Event, data event.Data) error {
//		switch d := data.(type) {
//		case orderapi.Created:
//			tx.Put(e.Subject, Order{ID: e.Subject, UserID: d.UserID, Status: "pending"})
//			tx.Index("by-user."+d.UserID+"."+e.Subject, e.Subject)
//		case orderapi.Confirmed:
//			order, ok, err := tx.Get(e.Subject)
//			if err != nil || !ok {
//				return err
//			}
//			order.Status = "confirmed"
//			tx.Put(e.Subject, order)
//		}
//		return nil
//	})
//	runner := view.Follow(store, projection.Config{})
//
// Values are JSON at their key, so `nats kv get orders <id>` shows one. A value's
// key is one token (no dots); an index entry's key has two or more and holds the key
// of the value it stands for. The tokens checkpoint, staged and generation are taken.
//
// There are three kinds, with one way to follow a stream: [KV] keeps a model in a
// bucket, [SQL] in tables of a database, [InMemory] in the process. What is said here
// of buckets holds for [KV].
//
// # How it is exact
//
// The bucket also holds how far the model has come, at checkpoint.<STREAM>. Values,
// index entries and checkpoint are written in one atomic batch that expects the
// checkpoint, and every key the fold has read, at the revision it started from, and
// the bucket at the last sequence that the writer knows of. So a
// batch is applied as a whole and once. Somebody else's progress makes it fail; the
// runner then forgets what it knew, stands by and watches the other, and takes over
// when the other stops moving. When it is not known whether a batch was stored, the
// checkpoint, read from the bucket's leader, tells.
//
// A batch costs the server milliseconds. A few events that write one value each are
// therefore written value by value, each expecting to be the bucket's next message
// and naming its place in the stream, and the checkpoint after them. Who finds values
// behind the checkpoint, after a crash, goes on behind them. So a quiet model shows an
// event within a millisecond; while one step is stored the next is folded.
//
// The fold must depend on nothing but the model and the event: it runs again when
// its batch was not stored. It must not keep tx. It gets the genuine events of the
// store's registry in the order of the stream; everything else there is passed over.
//
// An event that writes more keys than one batch holds (999) is first written down as
// a whole under staged.<STREAM>, in one batch, and then applied piece by piece, the
// checkpoint counting the writes that are done. So are thousands of events at once,
// of each key the last value, while a model is more than 10,000 events behind. Readers
// may see such a step half applied for a moment; a crash leaves nothing undone or done
// twice.
//
// # When it stops
//
// A fold that fails or panics, or an event that this program cannot decode, parks
// the model in front of that event: [Runner.Health] and [View.Wait] give a
// [*ParkedError], reads go on serving what is there. A checkpoint that does not fit
// the stream ([ErrCheckpoint]) parks it too, as after a backup was restored that ends
// before it; then what is there may never have happened, and reads fail until the model
// is rebuilt. A parked runner goes on by itself when another process, such as a newer
// release, moves the checkpoint, or the checkpoint fits again. That the stream grows
// past the checkpoint is none of that: package timeline tells one past from another.
//
// [Config.Poison] can skip events that the fold fails on instead; they are counted in
// the checkpoint, and [Runner.Status] shows the last.
//
// # Other versions, and rebuilding
//
// A fold that makes something else of the same events gets another [Version], which
// is kept in a bucket of its own: old and new programs serve side by side. A model that
// was damaged, or parked on a fault that a release has mended, is built anew beside the
// one that serves by [Runner.Rebuild]: every runner notices within [Config.StandBy],
// one builds, and when it is up to date all change over. A process does so once the
// new values contain all that its [View.Wait] has promised. The buckets are called
// orders, orders-g1, orders-v2, orders-v2-g1 and so on; the processes create them, so
// they need the permission. A fold has no side effects, so a rebuild has none either.
//
// Where nobody reads a model, deleting all keys of its bucket and a restart do as well.
// Deletions leave markers; `nats kv compact` may remove them at any time.
//
// # Reading your own writes
//
// [View.Wait] returns once the model has folded a stream sequence, such as that of a
// decision's last event.
package projection
