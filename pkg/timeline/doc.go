// Package timeline tells whether a position in a stream belongs to the stream as it is
// now, or to a past that is no more: the stream was deleted and made anew, or a backup
// of it was restored.
//
// A sequence alone cannot tell. After a restore to sequence 50 the stream soon has a
// message 100 again, and it is another one. So whoever keeps a position keeps with it
// when the stream's present timeline began, and asks before going on:
//
//	now, err := timeline.Of(info)
//	…
//	if !now.Holds(kept.Began, kept.Sequence) {
//		return errAhead
//	}
//
// A stream's first timeline begins when it is created. Whoever restores a backup begins
// another, with the [MetadataKey] of the configuration that it is restored with, in the
// same moment as its messages appear; the server's own time of creation is that of the
// backup and does not tell. Up to where the backup ends both timelines are the same, so
// positions up to there still hold.
package timeline
