// Reads a log as its node served it, with nothing but golang.org/x/mod/sumdb (the code that checks Go's own checksum database): notes,
// RFC 6962 trees, tiles and proofs are theirs. Only the file names and the JSON around the proofs are known here.
//
//	read-log <folder>
//
// The folder holds key (a verifier key as text), name and raw.key (what it is made of), early and checkpoint (signed notes), tile/… (C2SP
// paths), entries.json, inclusion.json and consistency.json (answers of the API). It prints what it found as JSON and ends with 0, or says
// the first thing that is wrong and ends with 1.
package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// What x/mod calls tile/8/0/000 is tile/0/000 in C2SP, where every tile has height 8.
const height = 8

type entry struct {
	Index int64  `json:"index"`
	Entry string `json:"entry"`
}

type inclusion struct {
	Index int64    `json:"index"`
	Size  int64    `json:"size"`
	Leaf  string   `json:"leaf"`
	Path  []string `json:"path"`
}

type consistency struct {
	First  int64    `json:"first"`
	Second int64    `json:"second"`
	Path   []string `json:"path"`
}

type found struct {
	Origin      string   `json:"origin"`
	Sizes       []int64  `json:"sizes"`
	Unknown     []string `json:"unknown"`
	Tiles       int      `json:"tiles"`
	Entries     int      `json:"entries"`
	Inclusion   int      `json:"inclusion"`
	Consistency int      `json:"consistency"`
}

func main() {
	result, err := readLog(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		os.Exit(2)
	}
}

func readLog(folder string) (*found, error) {
	verifier, err := openKey(folder)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	early, _, err := openCheckpoint(folder, "early", verifier)
	if err != nil {
		return nil, fmt.Errorf("early: %w", err)
	}
	tree, unknown, err := openCheckpoint(folder, "checkpoint", verifier)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	log := &servedLog{folder: folder, tree: tree, early: early}
	log.hashes = tlog.TileHashReader(tree, log)
	result := &found{Origin: verifier.Name(), Sizes: []int64{early.N, tree.N}, Unknown: unknown}
	steps := []struct {
		name string
		work func() (int, error)
		into *int
	}{
		{"tiles", log.checkTiles, &result.Tiles},
		{"entries", log.checkEntries, &result.Entries},
		{"inclusion", log.checkInclusion, &result.Inclusion},
		{"consistency", log.checkConsistency, &result.Consistency},
	}
	for _, step := range steps {
		if *step.into, err = step.work(); err != nil {
			return nil, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return result, nil
}

// The text of a verifier key must be what x/mod itself makes of the name and the 32 bytes.
func openKey(folder string) (note.Verifier, error) {
	text, err := read(folder, "key")
	if err != nil {
		return nil, err
	}
	name, err := read(folder, "name")
	if err != nil {
		return nil, err
	}
	raw, err := read(folder, "raw.key")
	if err != nil {
		return nil, err
	}
	made, err := note.NewEd25519VerifierKey(string(name), raw)
	if err != nil {
		return nil, err
	}
	if made != string(text) {
		return nil, errors.New("another text than x/mod gives")
	}
	return note.NewVerifier(made)
}

// Also gives the names of those whose lines x/mod knows nothing of: it has Ed25519 signatures of logs only, no cosignature/v1.
func openCheckpoint(folder, name string, verifier note.Verifier) (tree tlog.Tree, unknown []string, err error) {
	bytes, err := read(folder, name)
	if err != nil {
		return tree, nil, err
	}
	opened, err := note.Open(bytes, note.VerifierList(verifier))
	if err != nil {
		return tree, nil, err
	}
	origin, rest, _ := strings.Cut(opened.Text, "\n")
	if origin != verifier.Name() || strings.Count(rest, "\n") != 2 {
		return tree, nil, errors.New("not a checkpoint of this log")
	}
	for _, line := range opened.UnverifiedSigs {
		unknown = append(unknown, line.Name)
	}
	// Its parser asks for Go's own origin; size and root below it have the form of C2SP.
	tree, err = tlog.ParseTree([]byte("go.sum database tree\n" + rest))
	return tree, unknown, err
}

type servedLog struct {
	folder string
	tree   tlog.Tree
	early  tlog.Tree
	hashes tlog.HashReader
}

func (l *servedLog) Height() int { return height }

func (l *servedLog) SaveTiles([]tlog.Tile, [][]byte) {}

func (l *servedLog) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		bytes, err := read(l.folder, pathOf(tile))
		if err != nil {
			return nil, err
		}
		data[i] = bytes
	}
	return data, nil
}

func pathOf(tile tlog.Tile) string {
	return strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
}

// Every tile that x/mod would store for a tree of each size, as x/mod computes it from the leaves; and the leaves lead to both roots.
func (l *servedLog) checkTiles() (int, error) {
	tree, stored, err := l.grow()
	if err != nil {
		return 0, err
	}
	checked := 0
	for _, size := range []int64{l.early.N, l.tree.N} {
		for _, tile := range widest(tlog.NewTiles(height, 0, size)) {
			want, err := tlog.ReadTileData(tile, stored)
			if err != nil {
				return 0, err
			}
			have, err := read(l.folder, pathOf(tile))
			if err != nil {
				return 0, err
			}
			if string(have) != string(want) {
				return 0, errors.New(pathOf(tile) + " is not what its leaves lead to")
			}
			checked++
		}
	}
	if tree != l.tree {
		return 0, errors.New("the leaves do not lead to the root")
	}
	early, err := tlog.TreeHash(l.early.N, stored)
	if err != nil {
		return 0, err
	}
	if early != l.early.Hash {
		return 0, errors.New("the leaves do not lead to the earlier root")
	}
	return checked, nil
}

// x/mod lists a partial tile at every width that it ever had; a tree of one size has the last of them.
func widest(tiles []tlog.Tile) []tlog.Tile {
	var last []tlog.Tile
	for i, tile := range tiles {
		if i+1 == len(tiles) || tiles[i+1].L != tile.L || tiles[i+1].N != tile.N {
			last = append(last, tile)
		}
	}
	return last
}

// Builds the tree anew from the leaves that the tiles show.
func (l *servedLog) grow() (tlog.Tree, tlog.HashReader, error) {
	var all []tlog.Hash
	stored := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			if index >= int64(len(all)) {
				return nil, errors.New("no such hash")
			}
			hashes[i] = all[index]
		}
		return hashes, nil
	})
	for n := int64(0); n < l.tree.N; n++ {
		leaf, err := l.leaf(n)
		if err != nil {
			return tlog.Tree{}, nil, err
		}
		more, err := tlog.StoredHashesForRecordHash(n, leaf, stored)
		if err != nil {
			return tlog.Tree{}, nil, err
		}
		all = append(all, more...)
	}
	root, err := tlog.TreeHash(l.tree.N, stored)
	return tlog.Tree{N: l.tree.N, Hash: root}, stored, err
}

// One leaf by way of its tile, which x/mod authenticates up to the signed root.
func (l *servedLog) leaf(n int64) (tlog.Hash, error) {
	hashes, err := l.hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, n)})
	if err != nil {
		return tlog.Hash{}, err
	}
	return hashes[0], nil
}

func (l *servedLog) checkEntries() (int, error) {
	var entries []entry
	if err := readJSON(l.folder, "entries.json", &entries); err != nil {
		return 0, err
	}
	for _, each := range entries {
		leaf, err := l.leaf(each.Index)
		if err != nil {
			return 0, err
		}
		if tlog.RecordHash([]byte(each.Entry)) != leaf {
			return 0, fmt.Errorf("%d is not the record of its leaf", each.Index)
		}
	}
	return len(entries), nil
}

func (l *servedLog) checkInclusion() (int, error) {
	var proofs []inclusion
	if err := readJSON(l.folder, "inclusion.json", &proofs); err != nil {
		return 0, err
	}
	for _, each := range proofs {
		tree, err := l.treeOf(each.Size)
		if err != nil {
			return 0, err
		}
		path, err := parseHashes(append([]string{each.Leaf}, each.Path...))
		if err != nil {
			return 0, err
		}
		if err := tlog.CheckRecord(path[1:], tree.N, tree.Hash, each.Index, path[0]); err != nil {
			return 0, err
		}
		own, err := tlog.ProveRecord(tree.N, each.Index, l.hashes)
		if err != nil {
			return 0, err
		}
		if !isSame(own, path[1:]) {
			return 0, fmt.Errorf("x/mod proves %d of %d otherwise", each.Index, each.Size)
		}
	}
	return len(proofs), nil
}

func (l *servedLog) checkConsistency() (int, error) {
	var proofs []consistency
	if err := readJSON(l.folder, "consistency.json", &proofs); err != nil {
		return 0, err
	}
	for _, each := range proofs {
		first, err := l.treeOf(each.First)
		if err != nil {
			return 0, err
		}
		second, err := l.treeOf(each.Second)
		if err != nil {
			return 0, err
		}
		path, err := parseHashes(each.Path)
		if err != nil {
			return 0, err
		}
		if err := tlog.CheckTree(path, second.N, second.Hash, first.N, first.Hash); err != nil {
			return 0, err
		}
		own, err := tlog.ProveTree(second.N, first.N, l.hashes)
		if err != nil {
			return 0, err
		}
		if !isSame(own, path) {
			return 0, fmt.Errorf("x/mod proves %d to %d otherwise", first.N, second.N)
		}
	}
	return len(proofs), nil
}

// The tree of a size: signed, or computed by x/mod from tiles under a signature. Never what a proof says of itself.
func (l *servedLog) treeOf(size int64) (tlog.Tree, error) {
	if size == l.early.N {
		return l.early, nil
	}
	if size == l.tree.N {
		return l.tree, nil
	}
	root, err := tlog.TreeHash(size, l.hashes)
	return tlog.Tree{N: size, Hash: root}, err
}

func parseHashes(texts []string) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(texts))
	for i, text := range texts {
		bytes, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(bytes) != tlog.HashSize {
			return nil, errors.New("not a hash")
		}
		copy(hashes[i][:], bytes)
	}
	return hashes, nil
}

func isSame(one, other []tlog.Hash) bool {
	if len(one) != len(other) {
		return false
	}
	for i := range one {
		if one[i] != other[i] {
			return false
		}
	}
	return true
}

func read(folder, name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(folder, filepath.FromSlash(name)))
}

func readJSON(folder, name string, into interface{}) error {
	bytes, err := read(folder, name)
	if err != nil {
		return err
	}
	return json.Unmarshal(bytes, into)
}
