package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// Images are made here out of static binaries where they cannot be pulled: the server's
// under the name that compose.yaml asks for, unless there is one, and Sluice's, always
// anew and under a name of this run's own, by the last stage of services/Dockerfile.

// buildImages sees to it that what compose.yaml asks for is there.
func buildImages(ctx context.Context, root, sluice string) (err error) {
	folder, err := os.MkdirTemp("", "sluice-images-")
	if err != nil {
		return fmt.Errorf("folder for images: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	content, err := os.ReadFile(filepath.Join(root, "compose.yaml"))
	if err != nil {
		return fmt.Errorf("read what Compose runs: %w", err)
	}
	server := regexp.MustCompile(`(?m)^\s*image: (nats:\S+)$`).FindSubmatch(content)
	if server == nil {
		return errors.New("compose.yaml asks for no image of NATS")
	}
	if err := standIn(ctx, root, filepath.Join(folder, "nats"), string(server[1])); err != nil {
		return err
	}
	return buildSluice(ctx, root, filepath.Join(folder, "sluice"), sluice)
}

// serverDockerfile is what the image of nats-server on Alpine has, as far as it is used:
// the server, and a wget and an ip from BusyBox. Its label tells it from the real one.
const serverDockerfile = `FROM scratch
LABEL ` + standInLabel + `
COPY . /
ENV PATH=/usr/local/bin:/bin
ENTRYPOINT ["nats-server"]
`

const standInLabel = "sluice.stand-in=true"

// removeStandIns removes the images that only bear the names of real ones, so that nobody
// runs them by mistake later, unless another run needs them now.
func removeStandIns(ctx context.Context) error {
	found, err := docker(ctx, "image", "ls", "--quiet", "--filter", "label="+standInLabel)
	if err != nil {
		return err
	}
	for id := range strings.FieldsSeq(found) {
		users, err := docker(ctx, "ps", "--all", "--quiet", "--filter", "ancestor="+id)
		if err != nil {
			return err
		}
		if users != "" {
			continue
		}
		if _, err := docker(ctx, "image", "rm", id); err != nil {
			return err
		}
	}
	return nil
}

// standIn makes the image of the server unless it is there or can be pulled.
func standIn(ctx context.Context, root, folder, name string) error {
	if _, err := docker(ctx, "image", "inspect", name); err == nil {
		return nil
	}
	if _, err := docker(ctx, "pull", "--quiet", name); err == nil {
		return nil
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return fmt.Errorf("to make %s, install busybox-static: %w", name, err)
	}
	if err := copyFile(busybox, filepath.Join(folder, "bin", "busybox")); err != nil {
		return err
	}
	for _, applet := range []string{"wget", "ip", "sh"} {
		if err := os.Symlink("busybox", filepath.Join(folder, "bin", applet)); err != nil {
			return fmt.Errorf("name an applet: %w", err)
		}
	}
	if err := compile(ctx, root, filepath.Join(folder, "usr/local/bin/nats-server"), "github.com/nats-io/nats-server/v2"); err != nil {
		return err
	}
	return buildImage(ctx, folder, name, serverDockerfile)
}

// buildSluice makes Sluice's image of binaries that this machine has built, which is
// what its first stage does in a container.
func buildSluice(ctx context.Context, root, folder, name string) error {
	content, err := os.ReadFile(filepath.Join(root, "services", "Dockerfile"))
	if err != nil {
		return fmt.Errorf("read how the image is made: %w", err)
	}
	stage := string(content)
	stage = stage[strings.LastIndex(stage, "\nFROM ")+1:]
	stage = strings.ReplaceAll(stage, "COPY --from=build /", "COPY ")
	stage = regexp.MustCompile(`(?m)^COPY --from=build (.*)$`).ReplaceAllStringFunc(stage, func(line string) string {
		return strings.ReplaceAll(strings.Replace(line, "--from=build ", "", 1), " /out/", " out/")
	})
	for binary, source := range map[string]string{"sluice": "./services", "cluster": "./streams/cluster"} {
		if err := compile(ctx, root, filepath.Join(folder, "out", binary), source); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(folder, "out", "data"), 0o755); err != nil {
		return fmt.Errorf("folder for the image: %w", err)
	}
	const authorities = "etc/ssl/certs/ca-certificates.crt"
	if err := copyFile("/"+authorities, filepath.Join(folder, authorities)); err != nil {
		return err
	}
	return buildImage(ctx, folder, name, stage)
}

func compile(ctx context.Context, root, to, source string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", to, source)
	cmd.Dir = root
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	_, err := output(cmd)
	return err
}

func buildImage(ctx context.Context, folder, name, dockerfile string) error {
	cmd := exec.CommandContext(ctx, "docker", "build", "--quiet", "--tag", name, "--file", "-", folder)
	cmd.Stdin = strings.NewReader(dockerfile)
	_, err := output(cmd)
	return err
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("copy into an image: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return fmt.Errorf("copy into an image: %w", err)
	}
	if err := os.WriteFile(to, content, 0o755); err != nil {
		return fmt.Errorf("copy into an image: %w", err)
	}
	return nil
}
