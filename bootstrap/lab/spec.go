package lab

import (
	"bytes"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// spec is the part of a zkboot.yaml that a lab fills in. Names are those of the spec; the
// types are the lab's own so that hosts can be made without the engine.
type spec struct {
	Name     string              `yaml:"name"`
	SSH      specSSH             `yaml:"ssh"`
	Hardware specHardware        `yaml:"hardware,flow"`
	Hosts    map[string]specHost `yaml:"hosts"`
	Ensemble *specEnsemble       `yaml:"ensemble,omitempty"`
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
	Address string `yaml:"address"`
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

// acceptedIssues are the refused known issues that concern what Debian 12 ships.
var acceptedIssues = []string{"ZOOKEEPER-4785"}

const acceptComment = `Debian 12 ships ZooKeeper 3.8.0. ZOOKEEPER-4785 (fixed in 3.8.5 and 3.9.2) can lose
transactions while a follower syncs, so zkboot refuses it unless it is named here. A lab
holds nothing worth keeping and shows the distribution as it is; elsewhere use source.tarball.`

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
		s.Hosts[name] = specHost{Address: rec.address(name).String()}
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
	var doc yaml.Node
	if err := doc.Encode(s); err != nil {
		return nil, err
	}
	doc.HeadComment = fmt.Sprintf("Written by `zkboot lab up --name %s`. It is yours to edit: a changed file is kept.", rec.Name)
	comment(&doc, acceptComment, "ensemble", "accept_known_issues")
	oneLineEach(&doc, "hosts")
	oneLineEach(&doc, "ensemble", "members")
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
