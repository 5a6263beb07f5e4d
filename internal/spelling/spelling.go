// SPDX-License-Identifier: AGPL-3.0-or-later

// Package spelling finds what was meant by a word that nobody knows.
package spelling

import (
	"cmp"
	"slices"
	"strings"
)

// Distance counts the bytes to insert, delete or replace that make b of a.
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := diagonal
			if a[i-1] != b[j-1] {
				change++
			}
			diagonal = row[j]
			row[j] = min(change, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}

// Nearest gives known with those first that are spelt most like word, whatever their
// case; those that are equally near keep their order.
func Nearest(word string, known []string) []string {
	type candidate struct {
		word     string
		distance int
	}
	candidates := make([]candidate, len(known))
	for i, k := range known {
		candidates[i] = candidate{k, Distance(strings.ToLower(word), strings.ToLower(k))}
	}
	slices.SortStableFunc(candidates, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	words := make([]string, len(known))
	for i, c := range candidates {
		words[i] = c.word
	}
	return words
}
