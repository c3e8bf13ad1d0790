# The six things one does here. `make help` says what each installs and needs.

GO        ?= go
BIN       := bin
VERSION   ?= 0.1.0
SUITE     := ./scripts/suite.sh
TF_OS_ARCH = $(shell $(GO) env GOOS)_$(shell $(GO) env GOARCH)
MIRROR    := dist/mirror
PLUGIN    := $(MIRROR)/registry.terraform.io/zkboot/zkboot/$(VERSION)/$(TF_OS_ARCH)/terraform-provider-zkboot_v$(VERSION)

.PHONY: help build agents mirror mirror-all demo demo-down demo-vm vm-test test unit conventions generated lab-test modules-test acceptance matrix lint generate bench fuzz deps vm-deps clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: agents ## build zkboot, zkwatch, the provider and the agent into bin/
	$(GO) build -trimpath -o $(BIN)/zkboot ./cmd/zkboot
	$(GO) build -trimpath -o $(BIN)/zkwatch ./cmd/zkwatch
	$(GO) build -trimpath -o $(BIN)/terraform-provider-zkboot ./cmd/terraform-provider-zkboot

agents:
	@$(GO) run ./tools/agentbin

mirror: build ## dist/mirror: a Terraform filesystem mirror with our provider, dist/terraformrc points at it
	@mkdir -p $(dir $(PLUGIN))
	@cp $(BIN)/terraform-provider-zkboot $(PLUGIN)
	@./scripts/terraformrc.sh $(MIRROR) > dist/terraformrc

mirror-all: mirror ## dist/mirror with the libvirt and OpenStack providers too, built from source, once (about 2 minutes)
	@./scripts/mirror-providers.sh $(MIRROR)

demo: deps mirror ## five throw-away hosts, `terraform apply` of examples/lab, and traffic that survives failures (root, apt)
	./scripts/demo.sh

demo-down: ## take the demo away again
	./scripts/demo.sh down

demo-vm: deps vm-deps mirror-all ## four virtual machines made by examples/kvm-libvirt, and taken away again (root, apt; minutes without KVM)
	./scripts/demo-vm.sh

vm-test: deps build vm-deps ## the tests that boot virtual machines (root, apt; minutes without KVM)
	$(GO) test -tags "lab vm" -count=1 -timeout 60m -v -run 'TestVirtualMachine|TestUpOfVirtualMachines' ./bootstrap/lab

test: ## everything: unit, conventions, generated files, real hosts, Terraform, virtual machines (root, apt; about an hour)
	@./scripts/test.sh

unit: ## unit tests with the race detector; no root, no network
	$(GO) test -race ./...

conventions: ## gofmt, vet, and the tests that keep the house in order
	./scripts/conventions.sh

generated: ## generated files are what `make generate` makes
	./scripts/generated.sh

lab-test: deps vm-deps build ## tests on real systemd hosts (root, apt)
	./scripts/lab-test.sh

modules-test: mirror-all ## terraform fmt, init, validate and test of every module and example, offline
	./scripts/modules.sh

acceptance: deps mirror ## the provider under real Terraform on real hosts (root, apt)
	./scripts/acceptance.sh

matrix: deps mirror ## acceptance under OpenTofu 1.12 and Terraform 1.14, both built from source once, and the Terraform on PATH (root, apt; long)
	./scripts/matrix.sh

lint: ## gofmt, go vet and staticcheck
	./scripts/lint.sh

generate: mirror ## make the generated files again
	$(GO) generate ./...
	./scripts/generate-docs.sh

bench: deps build ## the measured figures, as ratios taken in one run (root, apt)
	./scripts/bench.sh

fuzz: ## every fuzz target for FUZZTIME (10s) each
	./scripts/fuzz.sh

deps: ## install what labs and tests need with apt
	@./scripts/deps.sh

vm-deps:
	@./scripts/vm-deps.sh

clean: ## remove what make made here
	rm -rf $(BIN) dist
