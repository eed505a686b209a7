# SPDX-License-Identifier: Apache-2.0
# What a newcomer types: `make run`, `make test`. Meson does the work; this installs the Debian
# packages that are missing, configures and builds. WERROR=1 makes warnings errors (CI).

BUILD ?= build
MESON_FLAGS ?=
# dpkg-dev: meson asks it where libraries belong.
BUILD_PACKAGES = gcc g++ dpkg-dev meson ninja-build pkg-config python3 libcairo2-dev libcmocka-dev libdnnl-dev \
	libfftw3-dev libinih-dev libjack-jackd2-dev libjansson-dev libncurses-dev libopenmpi-dev \
	libpipewire-0.3-dev libsamplerate0-dev libsndfile1-dev libsodium-dev libsqlite3-dev libssl-dev \
	libsystemd-dev libwebsockets-dev libzip-dev libzmq3-dev
# The page's tests: npm is a package of its own, or comes with other packages of Node.js.
NODE_PACKAGES = $(if $(shell command -v node),,nodejs) $(if $(shell command -v npm),,npm)
TEST_PACKAGES = $(NODE_PACKAGES) chromium dbus jackd2 mandoc openmpi-bin openssl pipewire pipewire-bin procps \
	python3-zmq tmux wireplumber
FUZZ_PACKAGES = clang libclang-rt-14-dev
FLAGS = $(MESON_FLAGS) $(if $(WERROR),-Dwerror=true)

# make -j: one apt-get at a time; ninja uses all cores by itself
.NOTPARALLEL:
.PHONY: help run test test-page bench clean build configure packages test-packages fuzz-packages

help:
	@echo 'make run    build focald and start it, with what shows it (PORT=8080; Ctrl-C ends it)'
	@echo 'make test   build it and run its tests'
	@echo 'make test-page  the page in Chromium: wants a machine with nothing else to do'
	@echo 'make bench  measure network, pipeline and latency on this machine'
	@echo 'make clean  remove what was built'

# $(call install,PACKAGES): nothing missing means no network and no root.
install = @missing=$$(for p in $(1); do \
		dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q '^install ok installed' || echo $$p; \
	done); \
	if [ -n "$$missing" ]; then \
		echo "installing the Debian packages that are missing:" $$missing; \
		root=; [ "$$(id -u)" = 0 ] || root=sudo; \
		if [ -n "$$root" ] && ! command -v sudo >/dev/null; then \
			echo "there is no sudo: become root, apt-get install these, and try again"; exit 1; \
		fi; \
		$$root apt-get update -q && \
		$$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
			$$missing; \
	fi

packages:
	$(call install,$(BUILD_PACKAGES))

test-packages: packages
	$(call install,$(TEST_PACKAGES))

fuzz-packages: packages
	$(call install,$(FUZZ_PACKAGES))

configure: packages
	@if [ ! -f $(BUILD)/build.ninja ]; then meson setup $(BUILD) $(FLAGS); \
	elif [ -n "$(strip $(FLAGS))" ]; then meson configure $(BUILD) $(FLAGS); fi

build: configure
	@ninja -C $(BUILD)
	@echo "the backend for GPUs: $$(cat $(BUILD)/model/cuda/built)"

# The programs alone: the tests take longer to build than all of them, and so do the kernels of the
# GPU's module, for which nobody has a use without NVIDIA's driver.
PROGRAMS = daemon/focald ipc/focalctl viewers/record/focal-record viewers/term/focal-term viewers/web/focal-web
run: configure
	@module=; \
	if [ -e /dev/nvidiactl ] && grep -q 'built for' $(BUILD)/model/cuda/built; then \
		module=model/cuda/libfocald-cuda.so; \
	fi; \
	ninja -C $(BUILD) $(PROGRAMS) $$module
	@PORT="$(PORT)" STATE="$(STATE)" viewers/run.sh $(BUILD) --source auto --fallback file:daemon/demo --loop

test: test-packages build
	@meson test -C $(BUILD) --no-rebuild --print-errorlogs --no-suite browser $(TEST_FLAGS); status=$$?; \
	python3 tests/summary.py $(BUILD)/meson-logs/testlog.json; exit $$status

test-page: test-packages build
	@meson test -C $(BUILD) --no-rebuild --print-errorlogs --logbase testlog-page --suite browser -v

bench: build
	@$(BUILD)/daemon/focald bench
	@meson test -C $(BUILD) --no-rebuild --benchmark -v

clean:
	rm -rf $(BUILD) build-asan build-tsan build-fuzz
