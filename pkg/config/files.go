package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// folder reads files below one folder, and nothing outside it: symbolic links that
// lead out are refused by the operating system's own resolution ([os.Root]).
type folder struct {
	root *os.Root
	dir  string
}

func openFolder(dir string) (*folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &folder{root, dir}, nil
}

// read returns a regular file whole, if it is not larger than most.
func (f *folder) read(name string, most int64) (content string, info fs.FileInfo, err error) {
	// Without blocking, so that a named pipe is told from a file and not waited for.
	file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", nil, reason(err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err = file.Stat()
	if err != nil {
		return "", nil, reason(err)
	}
	if !info.Mode().IsRegular() {
		return "", nil, errIrregular
	}
	b, err := io.ReadAll(io.LimitReader(file, most+1))
	if err != nil {
		return "", nil, reason(err)
	}
	if int64(len(b)) > most {
		return "", nil, tooLargeError(most)
	}
	return string(b), info, nil
}

// reason says what is wrong without the name, which stands before it.
func reason(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	return fmt.Errorf("cannot be read: %w", err)
}

// importer reads a file with all that it imports.
type importer struct {
	folder   *folder
	problems *problems
	files    int
	stack    []fs.FileInfo // of the files that import each other
}

// load reads a file, which was asked for in these words, and merges what it imports
// under it.
func (im *importer) load(name string, asked importing) *document {
	shown := filepath.Join(im.folder.dir, filepath.FromSlash(name))
	src, info, err := im.folder.read(filepath.FromSlash(name), maxFileSize)
	if err != nil {
		im.problems.add(Problem{Origin: Origin{Layer: File, Position: asked.pos}, Text: asked.name, Message: err.Error(), Err: err})
		return nil
	}
	for _, above := range im.stack {
		if os.SameFile(above, info) {
			im.problems.text(asked.pos, asked.name, "imports itself")
			return nil
		}
	}
	im.stack = append(im.stack, info)
	defer func() { im.stack = im.stack[:len(im.stack)-1] }()
	doc := parse(shown, src, im.problems)
	// The last import wins over those before it, so it is merged under doc first.
	for _, request := range slices.Backward(doc.imports) {
		if under := im.follow(path.Dir(name), request); under != nil {
			doc.root.table.merge(under.root.table)
			doc.vars.merge(under.vars)
		}
	}
	return doc
}

// follow loads what a file in dir imports.
func (im *importer) follow(dir string, request importing) *document {
	im.files++
	switch {
	case request.name == "" || path.IsAbs(request.name) || strings.Contains(request.name, `\`):
		im.problems.text(request.pos, request.name, "is not a file's name relative to this file, with slashes")
		return nil
	case len(im.stack) > maxImportDepth:
		im.problems.text(request.pos, request.name, "is imported over more than %d files", maxImportDepth)
		return nil
	case im.files > maxFiles:
		if im.files == maxFiles+1 {
			im.problems.text(request.pos, request.name, "is one import too many: there may be %d", maxFiles)
		}
		return nil
	}
	return im.load(path.Join(dir, request.name), request)
}

// secrets reads what @file.read asks for, without the line break at its end.
type secrets struct {
	folder *folder
}

func (s secrets) read(name string) (string, error) {
	if s.folder == nil {
		return "", errNoFiles
	}
	name = filepath.FromSlash(name)
	if filepath.IsAbs(name) {
		dir, err := filepath.Abs(s.folder.dir)
		if err != nil {
			return "", reason(err)
		}
		relative, err := filepath.Rel(dir, name)
		if err != nil || !filepath.IsLocal(relative) {
			return "", errOutside
		}
		name = relative
	}
	content, _, err := s.folder.read(name, maxSecretSize)
	if err != nil {
		return "", err
	}
	if err := checkText(content); err != nil {
		return "", err
	}
	return strings.TrimSuffix(strings.TrimSuffix(content, "\n"), "\r"), nil
}
