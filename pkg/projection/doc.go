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
// of the value it stands for. The tokens checkpoint and staged are taken.
//
// # How it is exact
//
// The bucket also holds how far the model has come, at checkpoint.<STREAM>. Values,
// index entries and checkpoint are written in one atomic batch that expects the
// checkpoint, and every key the fold has read, at the revision it started from. So a
// batch is applied as a whole and once. Somebody else's progress makes it fail; the
// runner then forgets what it knew, stands by and watches the other, and takes over
// when the other stops moving. When it is not known whether a batch was stored, the
// checkpoint, read from the bucket's leader, tells.
//
// The fold must depend on nothing but the model and the event: it runs again when
// its batch was not stored. It must not keep tx. It gets the genuine events of the
// store's registry in the order of the stream; everything else there is passed over.
//
// An event that writes more keys than one batch holds (999) is first written down as
// a whole under staged.<STREAM>, in one batch, and then applied piece by piece, the
// checkpoint counting the writes that are done. Readers may see such an event half
// applied for a moment; a crash leaves nothing undone or done twice.
//
// # When it stops
//
// A fold that fails or panics, or an event that this program cannot decode, parks
// the model in front of that event: [Runner.Health] and [View.Wait] give a
// [*ParkedError], reads go on serving what is there. A checkpoint that does not fit
// the stream ([ErrCheckpoint]) parks it too. A parked runner goes on by itself when
// another process, such as a newer release, moves the checkpoint, or the checkpoint
// fits again.
//
// To rebuild a model, delete all keys of its bucket and restart. Deletions leave
// markers; `nats kv compact` may remove them at any time.
//
// # Reading your own writes
//
// [View.Wait] returns once the model has folded a stream sequence, such as that of a
// decision's last event.
package projection
