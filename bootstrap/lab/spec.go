package lab

import (
	"bytes"
	"fmt"
	"net/netip"

	"go.yaml.in/yaml/v3"
)

// spec is the part of a zkboot.yaml that a lab fills in. Names are those of the spec; the
// types are the lab's own so that hosts can be made without the engine.
type spec struct {
	Name       string                  `yaml:"name"`
	SSH        specSSH                 `yaml:"ssh"`
	Hardware   specHardware            `yaml:"hardware,flow"`
	Hosts      map[string]specHost     `yaml:"hosts"`
	Ensemble   *specEnsemble           `yaml:"ensemble,omitempty"`
	Registries map[string]specRegistry `yaml:"registries,omitempty"`
	Services   map[string]specService  `yaml:"services,omitempty"`
	Sidecars   map[string]specSidecar  `yaml:"sidecars,omitempty"`
}

type specSSH struct {
	User           string   `yaml:"user"`
	IdentityFiles  []string `yaml:"identity_files,flow"`
	KnownHostsFile string   `yaml:"known_hosts_file"`
}

type specHardware struct {
	Profile string `yaml:"profile"`
}

type specHost struct {
	Address string               `yaml:"address"`
	Mounts  map[string]specMount `yaml:"mounts,omitempty"`
}

type specMount struct {
	Device string `yaml:"device"`
}

type specEnsemble struct {
	Members           map[string]specMember          `yaml:"members"`
	Source            map[string]map[string]struct{} `yaml:"source,flow"`
	AcceptKnownIssues []string                       `yaml:"accept_known_issues,flow"`
	Heap              string                         `yaml:"heap"`
}

type specMember struct {
	ID int `yaml:"id"`
}

type specRegistry struct {
	Ensemble bool `yaml:"ensemble"`
}

type specService struct {
	Registry string `yaml:"registry"`
	Path     string `yaml:"path"`
}

type specSidecar struct {
	Routes   map[string]specRoute    `yaml:"routes"`
	Register map[string]specRegister `yaml:"register"`
}

type specRoute struct {
	Service string    `yaml:"service"`
	Bind    string    `yaml:"bind"`
	Check   specCheck `yaml:"check"`
}

type specRegister struct {
	Service string    `yaml:"service"`
	Port    int       `yaml:"port"`
	Check   specCheck `yaml:"check"`
}

type specCheck struct {
	HTTP     string `yaml:"http"`
	Inter    string `yaml:"inter,omitempty"`
	Interval string `yaml:"interval,omitempty"`
	Rise     int    `yaml:"rise"`
	Fall     int    `yaml:"fall"`
}

// acceptedIssues are the refused known issues that concern what Debian 12 ships.
var acceptedIssues = []string{"ZOOKEEPER-4785"}

const acceptComment = `Debian 12 ships ZooKeeper 3.8.0. ZOOKEEPER-4785 (fixed in 3.8.5 and 3.9.2) can lose
transactions while a follower syncs, so zkboot refuses it unless it is named here. A lab
holds nothing worth keeping and shows the distribution as it is; elsewhere use source.tarball.`

const sidecarComment = `Every application host runs one instance of inventory (nginx, port 8080), announces it
while its check passes, and reaches all instances at 127.0.0.1:3000.`

// inventory is the service of the lab's application hosts.
const inventory = "inventory"

// addSidecars fills in a sidecar for every application host.
func (s *spec) addSidecars(rec *record) {
	s.Registries = map[string]specRegistry{"main": {Ensemble: true}}
	s.Services = map[string]specService{inventory: {Registry: "main", Path: "/services/inventory/instances"}}
	s.Sidecars = map[string]specSidecar{}
	for _, name := range rec.hostNames() {
		if !isApp(name) {
			continue
		}
		health := fmt.Sprintf("http://%s/health", netip.AddrPortFrom(rec.address(name), servicePort))
		s.Sidecars[name] = specSidecar{
			Routes: map[string]specRoute{inventory: {Service: inventory, Bind: "127.0.0.1:3000",
				Check: specCheck{HTTP: "GET /health", Inter: "2s", Rise: 2, Fall: 3}}},
			Register: map[string]specRegister{inventory: {Service: inventory, Port: servicePort,
				Check: specCheck{HTTP: health, Interval: "1s", Rise: 2, Fall: 3}}},
		}
	}
}

// hostMounts gives the data disk of a virtual machine to what waits for its syncs, the
// transaction log. In a container the directory is on a real file system already.
func hostMounts(rec *record, host string) map[string]specMount {
	if driverName(rec.Driver) != DriverQEMU || isApp(host) {
		return nil
	}
	return map[string]specMount{"/var/lib/zookeeper-log": {Device: "/dev/disk/by-id/virtio-" + dataSerial}}
}

// renderSpec renders the zkboot.yaml of a lab, ready to apply. Paths in it are relative to
// the file.
func renderSpec(rec *record) ([]byte, error) {
	s := spec{
		Name:     rec.Name,
		SSH:      specSSH{User: login, IdentityFiles: []string{keyFile}, KnownHostsFile: knownFile},
		Hardware: specHardware{Profile: "lab"},
		Hosts:    map[string]specHost{},
	}
	for _, name := range rec.hostNames() {
		s.Hosts[name] = specHost{Address: rec.address(name).String(), Mounts: hostMounts(rec, name)}
	}
	if rec.ZooKeeper > 0 {
		s.Ensemble = &specEnsemble{
			Members:           map[string]specMember{},
			Source:            map[string]map[string]struct{}{"apt": {}},
			AcceptKnownIssues: acceptedIssues,
			Heap:              "256MiB",
		}
		for i := range rec.ZooKeeper {
			s.Ensemble.Members[fmt.Sprintf("zk%d", i+1)] = specMember{ID: i + 1}
		}
	}
	if rec.ZooKeeper > 0 && rec.Apps > 0 {
		s.addSidecars(rec)
	}
	var doc yaml.Node
	if err := doc.Encode(s); err != nil {
		return nil, err
	}
	command := "zkboot lab up --name " + rec.Name
	if rec.Driver != "" {
		command += " --driver " + rec.Driver
	}
	doc.HeadComment = fmt.Sprintf("Written by `%s`. It is yours to edit: a changed file is kept.", command)
	comment(&doc, acceptComment, "ensemble", "accept_known_issues")
	oneLineEach(&doc, "hosts")
	oneLineEach(&doc, "ensemble", "members")
	comment(&doc, sidecarComment, "sidecars")
	for _, at := range [][]string{{"registries"}, {"services"}} {
		oneLineEach(&doc, at...)
	}
	for name := range s.Sidecars {
		oneLineEach(&doc, "sidecars", name, "routes")
		oneLineEach(&doc, "sidecars", name, "register")
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return nil, err
	}
	return b.Bytes(), enc.Close()
}

// comment puts a head comment on the key that path leads to; an absent key gets none.
func comment(doc *yaml.Node, text string, path ...string) {
	if key, _ := find(doc, path...); key != nil {
		key.HeadComment = text
	}
}

// oneLineEach puts every entry of the mapping at path on a line of its own.
func oneLineEach(doc *yaml.Node, path ...string) {
	_, entries := find(doc, path...)
	if entries == nil {
		return
	}
	for _, n := range entries.Content {
		if n.Kind == yaml.MappingNode {
			n.Style = yaml.FlowStyle
		}
	}
}

// find returns the key and the value that path leads to from a mapping, or nils.
func find(n *yaml.Node, path ...string) (key, value *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != path[0] {
			continue
		}
		if len(path) == 1 {
			return n.Content[i], n.Content[i+1]
		}
		return find(n.Content[i+1], path[1:]...)
	}
	return nil, nil
}
