package lab

import (
	"testing"

	"golang.org/x/crypto/ssh"
)

func TestNetworkFile(t *testing.T) {
	golden(t, "10-host0.network", []byte(networkFile(mainRecord(), "zk2")))
}

func TestNewKeyPairIsOnePair(t *testing.T) {
	private, public, err := newKeyPair("root@zk1")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key, comment, _, _, err := ssh.ParseAuthorizedKey(public)
	if err != nil || comment != "root@zk1" || ssh.FingerprintSHA256(key) != ssh.FingerprintSHA256(signer.PublicKey()) {
		t.Errorf("public half %s %q, private %s, %v", ssh.FingerprintSHA256(key), comment, ssh.FingerprintSHA256(signer.PublicKey()), err)
	}
}

// Every part of a recipe decides the tree's name.
func TestRecipeKey(t *testing.T) {
	r := recipe{Script: "a", Suite: "b", Mirror: "c", Security: "d", AptConf: "e", Include: []string{"f"}, Prefetch: []string{"g"}}
	key := func(r recipe) string {
		k, err := r.key()
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	seen := map[string]string{key(r): "nothing"}
	for name, edit := range map[string]func(*recipe){
		"script":   func(r *recipe) { r.Script = "x" },
		"suite":    func(r *recipe) { r.Suite = "x" },
		"mirror":   func(r *recipe) { r.Mirror = "x" },
		"security": func(r *recipe) { r.Security = "x" },
		"apt":      func(r *recipe) { r.AptConf = "x" },
		"include":  func(r *recipe) { r.Include = []string{"x"} },
		"prefetch": func(r *recipe) { r.Prefetch = []string{"x"} },
	} {
		c := r
		edit(&c)
		if other, ok := seen[key(c)]; ok {
			t.Errorf("changing %s gives the key of changing %s", name, other)
		}
		seen[key(c)] = name
	}
}
