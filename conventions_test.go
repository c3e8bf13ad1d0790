// Package zkboot holds no code: it is the place of the tests that keep the house in order.
package zkboot

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/zkboot/zkboot"

// mayImport says which packages of this module, and which foreign ones by prefix, a
// package may import besides the standard library. A package that is missing here fails:
// think about its room before adding it. The files are parsed by the test itself, because
// the test cache would not notice a changed answer of `go list`.
var mayImport = map[string][]string{
	"sysctl":                  {},
	"verify":                  {"golang.org/x/sys", "golang.org/x/sync", "github.com/HdrHistogram/hdrhistogram-go", "github.com/moby/sys/mountinfo"},
	"strictyaml":              {"go.yaml.in/yaml/v3"},
	"bootstrap":               {"strictyaml", "sysctl", "verify", "watcher/config", "golang.org/x/sync"},
	"bootstrap/bootstraptest": {"bootstrap", "verify"},
	"bootstrap/agent": {"bootstrap", "sysctl", "verify", "github.com/hashicorp/yamux", "github.com/google/renameio/v2",
		"github.com/coreos/go-systemd/v22/unit", "github.com/moby/sys/mountinfo", "github.com/klauspost/compress", "golang.org/x/sync", "golang.org/x/sys"},
	"bootstrap/ssh": {"bootstrap", "bootstrap/agent", "golang.org/x/crypto", "github.com/pkg/sftp", "github.com/kevinburke/ssh_config",
		"github.com/skeema/knownhosts", "github.com/google/renameio/v2", "github.com/klauspost/compress", "golang.org/x/sync", "golang.org/x/sys"},
	"bootstrap/hostkey": {"bootstrap", "verify"},
	"bootstrap/sidecar": {"bootstrap", "sysctl", "verify", "watcher/config"},
	"bootstrap/backup": {"bootstrap", "bootstrap/zookeeper", "bootstrap/zookeeper/txnlog",
		"github.com/klauspost/compress", "golang.org/x/sys"},
	"bootstrap/zookeeper/txnlog":        {},
	"bootstrap/zookeeper":               {"bootstrap", "sysctl", "verify", "github.com/go-zookeeper/zk", "golang.org/x/sync"},
	"bootstrap/zookeeper/zookeepertest": {"bootstrap/zookeeper", "golang.org/x/sys"},
	"bootstrap/drill":                   {"bootstrap", "bootstrap/lab", "bootstrap/zookeeper", "github.com/anishathalye/porcupine", "golang.org/x/sync"},
	"bootstrap/lab": {"golang.org/x/crypto", "golang.org/x/sys", "golang.org/x/sync", "github.com/google/renameio/v2",
		"github.com/vishvananda/netlink", "github.com/google/nftables", "github.com/moby/sys/mountinfo", "go.yaml.in/yaml/v3",
		"bootstrap", "bootstrap/lab/internal/machine", "bootstrap/lab/vm", "cloudinit", "github.com/digitalocean/go-libvirt", "libvirt.org/go/libvirtxml"},
	"bootstrap/lab/internal/machine": {"golang.org/x/sys", "github.com/moby/sys/mountinfo", "github.com/vishvananda/netlink"},
	"bootstrap/lab/vm":               {"bootstrap/lab/internal/machine", "github.com/google/renameio/v2", "github.com/digitalocean/go-libvirt"},
	"cloudinit":                      {"bootstrap", "sysctl", "github.com/coreos/go-systemd/v22/unit", "go.yaml.in/yaml/v3"},
	"provider": {"bootstrap", "cloudinit", "sysctl", "verify", "golang.org/x/crypto/ssh", "github.com/hashicorp/terraform-plugin-framework",
		"github.com/hashicorp/terraform-plugin-framework-timeouts", "github.com/hashicorp/terraform-plugin-framework-validators",
		"github.com/hashicorp/terraform-plugin-go", "github.com/hashicorp/terraform-plugin-log", "golang.org/x/sync"},
	"watcher/config": {"strictyaml", "go.yaml.in/yaml/v3"},
	"watcher": {"watcher/config", "golang.org/x/sync", "github.com/google/renameio/v2", "github.com/prometheus/client_golang",
		"github.com/coreos/go-systemd/v22/daemon", "golang.org/x/net/netutil"},
	"watcher/zookeeper":   {"watcher", "watcher/config", "github.com/go-zookeeper/zk"},
	"watcher/haproxy":     {"watcher", "watcher/config", "github.com/google/renameio/v2"},
	"watcher/watchertest": {"watcher", "watcher/config"},
	"cmd/zkwatch": {"watcher", "watcher/config", "watcher/haproxy", "watcher/zookeeper", "github.com/spf13/cobra",
		"github.com/coreos/go-systemd/v22/daemon"},
	"cmd/zkagent":                   {"bootstrap/agent"},
	"cmd/terraform-provider-zkboot": {"provider", "bootstrap", "bootstrap/agent", "bootstrap/hostkey", "bootstrap/sidecar", "bootstrap/ssh", "bootstrap/zookeeper", "github.com/hashicorp/terraform-plugin-framework"},
	"cmd/zkboot": {"bootstrap", "bootstrap/agent", "bootstrap/drill", "bootstrap/backup", "bootstrap/lab", "bootstrap/lab/vm", "bootstrap/sidecar", "bootstrap/ssh", "bootstrap/zookeeper", "cloudinit", "sysctl", "verify",
		"github.com/spf13/cobra", "github.com/google/renameio/v2", "github.com/skeema/knownhosts", "golang.org/x/crypto", "golang.org/x/sync", "golang.org/x/term"},
	"bench": {"bootstrap", "bootstrap/agent", "bootstrap/bootstraptest", "bootstrap/drill", "bootstrap/lab", "bootstrap/ssh", "bootstrap/zookeeper", "verify",
		"golang.org/x/crypto/ssh", "golang.org/x/sync", "github.com/pkg/sftp",
		"watcher", "watcher/config", "watcher/watchertest", "watcher/zookeeper", "github.com/go-zookeeper/zk", "github.com/HdrHistogram/hdrhistogram-go"},
	"tools/agentbin": {"github.com/klauspost/compress"},
}

// mustNotLink says what must not end up in a program, directly or through others.
var mustNotLink = map[string][]string{
	"cmd/zkagent": {"github.com/hashicorp/terraform-plugin-framework", "github.com/spf13/cobra", "google.golang.org/grpc",
		"github.com/go-zookeeper/zk", "golang.org/x/crypto/ssh", "github.com/pkg/sftp"},
	"cmd/zkwatch": {module + "/bootstrap", module + "/verify", "golang.org/x/crypto", "github.com/pkg/sftp",
		"github.com/hashicorp/terraform-plugin-framework", "google.golang.org/grpc"},
	"cmd/zkboot": {"github.com/hashicorp/terraform-plugin-framework", "google.golang.org/grpc"},
}

// pkg is one package folder with its non-test files.
type pkg struct {
	files   map[string]*ast.File
	imports []string
}

// load parses every package folder of the module.
func load(t *testing.T) (map[string]pkg, *token.FileSet) {
	t.Helper()
	fset := token.NewFileSet()
	pkgs := map[string]pkg{}
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			name := d.Name()
			if file != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin" || name == "dist") {
				return fs.SkipDir
			}
			if _, err := os.Stat(filepath.Join(file, "go.mod")); err == nil && file != "." {
				return fs.SkipDir // a module of its own, such as the build tools
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(fset, file, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(file))
		p := pkgs[dir]
		if p.files == nil {
			p.files = map[string]*ast.File{}
		}
		p.files[file] = f
		for _, imp := range f.Imports {
			ip, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				return err
			}
			p.imports = append(p.imports, ip)
		}
		pkgs[dir] = p
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pkgs, fset
}

func standard(imp string) bool { return !strings.Contains(strings.SplitN(imp, "/", 2)[0], ".") }

func TestWhoMayImportWhom(t *testing.T) {
	pkgs, _ := load(t)
	for dir, p := range pkgs {
		allowed, known := mayImport[dir]
		if !known {
			t.Errorf("%s is not in the table of who may import whom", dir)
			continue
		}
		for _, imp := range p.imports {
			rel, own := strings.CutPrefix(imp, module+"/")
			ok := standard(imp) || slices.ContainsFunc(allowed, func(a string) bool {
				return own && rel == a || !own && (imp == a || strings.HasPrefix(imp, a+"/"))
			})
			if !ok {
				t.Errorf("%s imports %s, which its row in the table does not allow", dir, imp)
			}
		}
	}
	for dir := range mayImport {
		if _, ok := pkgs[dir]; !ok {
			t.Errorf("the table has a row for %s, which does not exist", dir)
		}
	}
}

func TestWhatProgramsMustNotLink(t *testing.T) {
	pkgs, _ := load(t)
	for program, banned := range mustNotLink {
		seen := map[string]bool{}
		var visit func(dir string, via []string)
		visit = func(dir string, via []string) {
			if seen[dir] {
				return
			}
			seen[dir] = true
			for _, imp := range pkgs[dir].imports {
				for _, b := range banned {
					if imp == b || strings.HasPrefix(imp, b+"/") {
						t.Errorf("%s links %s through %s", program, imp, strings.Join(append(via, dir), " -> "))
					}
				}
				if rel, own := strings.CutPrefix(imp, module+"/"); own {
					visit(rel, append(via, dir))
				}
			}
		}
		visit(program, nil)
	}
}

func TestEveryPackageHasOneDocComment(t *testing.T) {
	pkgs, _ := load(t)
	for dir, p := range pkgs {
		var with []string
		for file, f := range p.files {
			if f.Doc != nil && strings.TrimSpace(f.Doc.Text()) != "" {
				with = append(with, path.Base(filepath.ToSlash(file)))
			}
		}
		slices.Sort(with)
		if len(with) != 1 {
			t.Errorf("%s has package comments in %v, want exactly one", dir, with)
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	pkgs, fset := load(t)
	for _, p := range pkgs {
		for _, f := range p.files {
			for _, decl := range f.Decls {
				for _, name := range undocumented(decl) {
					t.Errorf("%s: exported %s has no comment", fset.Position(decl.Pos()), name)
				}
			}
		}
	}
}

// undocumented lists the exported names of a declaration that neither it nor its own line
// documents.
func undocumented(decl ast.Decl) []string {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || exportedReceiver(d.Recv)) && !wellKnown(d) {
			return []string{d.Name.Name}
		}
	case *ast.GenDecl:
		var out []string
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
					out = append(out, s.Name.Name)
				}
			case *ast.ValueSpec:
				for _, n := range s.Names {
					if n.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
						out = append(out, n.Name)
					}
				}
			}
		}
		return out
	}
	return nil
}

// wellKnown are methods whose meaning their interface gives.
func wellKnown(d *ast.FuncDecl) bool {
	return d.Recv != nil && slices.Contains([]string{"Error", "Unwrap", "String"}, d.Name.Name)
}

func exportedReceiver(recv *ast.FieldList) bool {
	typ := recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	id, ok := typ.(*ast.Ident)
	return ok && id.IsExported()
}

// Calls that have no place in a library: they end the process, or wait for no reason.
func TestForbiddenCalls(t *testing.T) {
	pkgs, fset := load(t)
	for dir, p := range pkgs {
		for _, f := range p.files {
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				name := callName(call)
				isMain := strings.HasPrefix(dir, "cmd/") || strings.HasPrefix(dir, "tools/") || strings.HasPrefix(dir, "bench")
				switch {
				case name == "time.Sleep", name == "ssh.InsecureIgnoreHostKey",
					!isMain && (name == "panic" || name == "os.Exit" || strings.HasPrefix(name, "log.Fatal")):
					t.Errorf("%s: %s", fset.Position(call.Pos()), name)
				}
				return true
			})
			for _, decl := range f.Decls {
				if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s: init function", fset.Position(fn.Pos()))
				}
			}
		}
	}
}

func callName(call *ast.CallExpr) string {
	switch fn := call.Fun.(type) {
	case *ast.Ident:
		return fn.Name
	case *ast.SelectorExpr:
		if id, ok := fn.X.(*ast.Ident); ok {
			return id.Name + "." + fn.Sel.Name
		}
	}
	return ""
}

// Two sentinels with one text cannot be told apart in a log.
func TestNoTwoSentinelsShareAText(t *testing.T) {
	pkgs, fset := load(t)
	at := map[string]token.Pos{}
	for _, p := range pkgs {
		for _, f := range p.files {
			for _, decl := range f.Decls {
				gen, ok := decl.(*ast.GenDecl)
				if !ok || gen.Tok != token.VAR {
					continue
				}
				ast.Inspect(gen, func(n ast.Node) bool {
					call, ok := n.(*ast.CallExpr)
					if !ok || callName(call) != "errors.New" || len(call.Args) != 1 {
						return true
					}
					if lit, ok := call.Args[0].(*ast.BasicLit); ok {
						if other, dup := at[lit.Value]; dup {
							t.Errorf("%s and %s: two errors say %s", fset.Position(other), fset.Position(call.Pos()), lit.Value)
						}
						at[lit.Value] = call.Pos()
					}
					return true
				})
			}
		}
	}
}

// main wires, it does not work.
func TestMainsAreShort(t *testing.T) {
	mains, err := filepath.Glob("cmd/*/main.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range mains {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(b), "\n"); n >= 100 {
			t.Errorf("%s has %d lines, want under 100", file, n)
		}
	}
}

// A file that one cannot hold in the head, or a function that does not fit a screen, wants
// to be two. Schemas and tables are lists and may be as long as they are.
func TestFilesAndFunctionsStaySmall(t *testing.T) {
	pkgs, fset := load(t)
	lines := func(n ast.Node) int { return fset.Position(n.End()).Line - fset.Position(n.Pos()).Line + 1 }
	for _, p := range pkgs {
		for file, f := range p.files {
			if n := fset.File(f.Pos()).LineCount(); n > 450 {
				t.Errorf("%s has %d lines, want at most 450", file, n)
			}
			for _, decl := range f.Decls {
				fn, ok := decl.(*ast.FuncDecl)
				if ok && lines(fn) > 60 && !table(fn) && !strings.Contains(strings.ToLower(fn.Name.Name), "schema") {
					t.Errorf("%s: %s has %d lines, want at most 60", fset.Position(fn.Pos()), fn.Name.Name, lines(fn))
				}
			}
		}
	}
}

// table reports whether a function does no more than return a literal.
func table(fn *ast.FuncDecl) bool {
	if fn.Body == nil || len(fn.Body.List) > 2 {
		return false
	}
	ret, ok := fn.Body.List[len(fn.Body.List)-1].(*ast.ReturnStmt)
	if !ok || len(ret.Results) != 1 {
		return false
	}
	_, ok = ret.Results[0].(*ast.CompositeLit)
	return ok
}

// Each direct dependency is there for a reason that somebody wrote down.
func TestEveryDependencyHasAReason(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	reasons, err := os.ReadFile("docs/DEPENDENCIES.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mod)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || !strings.HasPrefix(fields[1], "v") || strings.Contains(line, "// indirect") {
			continue
		}
		name := fields[0]
		short := name[strings.LastIndex(name, "/")+1:]
		if !strings.Contains(string(reasons), name) && !strings.Contains(string(reasons), strings.TrimPrefix(short, "terraform-plugin-framework")) {
			t.Errorf("docs/DEPENDENCIES.md does not say what %s is for", name)
		}
	}
}
