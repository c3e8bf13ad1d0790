// Command terraform-provider-zkboot serves the Terraform provider registry.terraform.io/zkboot/zkboot.
//
// It is started by Terraform. It refuses to ask anybody anything: secrets come from the
// provider block, ZKBOOT_SSH_PASSPHRASE and ZKBOOT_SUDO_PASSWORD alone. With -debug it can be run under a
// debugger, and prints the TF_REATTACH_PROVIDERS that connects Terraform to it.
package main

import (
	"context"
	"flag"
	"log"
	"os"

	fwprovider "github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"github.com/zkboot/zkboot/bootstrap/hostkey"
	"github.com/zkboot/zkboot/bootstrap/sidecar"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
	"github.com/zkboot/zkboot/provider"
)

func main() {
	debugger := flag.Bool("debug", false, "serve a debugger instead of Terraform")
	flag.Parse()
	ctx := context.Background()
	if flag.Arg(0) == "serve" {
		if err := beAgent(ctx); err != nil {
			log.Fatal(err)
		}
		return
	}
	serve := func() fwprovider.Provider {
		return &provider.Provider{Version: version(), Ensemble: zookeeper.New(), Sidecar: sidecar.New(sidecar.Embedded()),
			HostKey: hostkey.Role{}, Status: status, LockPatience: lockPatience, Reach: overSSH(os.Getenv), Getenv: os.Getenv, Who: who()}
	}
	if err := providerserver.Serve(ctx, serve, providerserver.ServeOpts{Address: provider.Address, Debug: *debugger}); err != nil {
		log.Fatal(err)
	}
}
