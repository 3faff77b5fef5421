package rpc_test

import (
	"bytes"
	"flag"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

var update = flag.Bool("update", false, "write the code in gen anew")

// TestGenerated: the code in gen is what the .proto files and the plugins in go.mod make.
func TestGenerated(t *testing.T) {
	t.Parallel()
	request := compileProtos(t)
	made := make(map[string]string)
	maps.Copy(made, runPlugin(t, request, "protoc-gen-go", "paths=source_relative"))
	maps.Copy(made, runPlugin(t, request, "protoc-gen-connect-go", "paths=source_relative,simple"))
	if *update {
		writeGenerated(t, made)
	}
	there := filesIn(t, "gen", ".go")
	if !slices.Equal(there, slices.Sorted(maps.Keys(made))) {
		t.Fatalf("gen has %q, the .proto files make %q: run task generate", there, slices.Sorted(maps.Keys(made)))
	}
	for name, want := range made {
		got, err := os.ReadFile(filepath.Join("gen", name))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("gen/%s is not what the .proto files make: run task generate", name)
		}
	}
}

// compileProtos returns what a plugin is asked: every file, after those that it imports.
func compileProtos(t *testing.T) *pluginpb.CodeGeneratorRequest {
	t.Helper()
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{"proto"}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	request := &pluginpb.CodeGeneratorRequest{FileToGenerate: filesIn(t, "proto", ".proto")}
	files, err := compiler.Compile(t.Context(), request.FileToGenerate...)
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[string]bool)
	var add func(f protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if known[f.Path()] {
			return
		}
		known[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
		request.ProtoFile = append(request.ProtoFile, proto.CloneOf[*descriptorpb.FileDescriptorProto](protoutil.ProtoFromFileDescriptor(f)))
	}
	for _, f := range files {
		add(f)
	}
	return request
}

// runPlugin returns the content of the files that a plugin makes, by name.
func runPlugin(t *testing.T, request *pluginpb.CodeGeneratorRequest, plugin, parameter string) map[string]string {
	t.Helper()
	request.Parameter = &parameter
	asked, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "tool", plugin)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(asked), &stderr
	answer, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", plugin, err, &stderr)
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(answer, &response); err != nil || response.Error != nil {
		t.Fatalf("%s: %v %s", plugin, err, response.GetError())
	}
	made := make(map[string]string)
	for _, f := range response.File {
		made[f.GetName()] = f.GetContent()
	}
	return made
}

func writeGenerated(t *testing.T, made map[string]string) {
	t.Helper()
	if err := os.RemoveAll("gen"); err != nil {
		t.Fatal(err)
	}
	for name, content := range made {
		name = filepath.Join("gen", name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// filesIn lists the files of a kind below a folder, relative to it and sorted.
func filesIn(t *testing.T, folder, kind string) []string {
	t.Helper()
	var found []string
	err := fs.WalkDir(os.DirFS(folder), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(name) == kind {
			found = append(found, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
