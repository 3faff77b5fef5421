package main

import (
	"fmt"
	"io"
	"slices"
)

// report writes rows as they come in: a table for people, and lines for programs.
type report struct {
	table, tsv io.Writer
}

const layout = "%-68s %-10s %10s %10s %7s   %-17s %s\n"

func (r report) head() error {
	_, err := fmt.Fprintf(r.table, layout, "benchmark", "unit", "ours", "peer", "ratio", "ours min–max", "peer min–max")
	return err
}

func (r report) add(rows []row) error {
	for _, w := range rows {
		ours, peer := figure(w.ours.median()), figure(w.peer.median())
		_, err := fmt.Fprintf(r.table, layout, w.name, w.unit, ours, peer, fmt.Sprintf("%.2f", w.ratio), spread(w.ours), spread(w.peer))
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(r.tsv, "%s\t%s\t%s\t%s\t%.3f\n", w.name, w.unit, ours, peer, w.ratio); err != nil {
			return err
		}
	}
	return nil
}

func spread(s sample) string { return figure(slices.Min(s)) + "–" + figure(slices.Max(s)) }

// figure prints three significant digits or all before the point.
func figure(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}
