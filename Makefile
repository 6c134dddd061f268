# A thin cover over Meson and Ninja: what a newcomer types. `make help` lists it.
BUILD ?= build
export WIRT_BUILD := $(abspath $(BUILD))
PREFIX ?= /usr/local

.PHONY: all help run check bench asan tsan fuzz install deps guest format clean

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

help:
	@echo 'make run      install what is needed, build, and show one program behind each of the three walls'
	@echo 'make check    all tests            make bench    speed against qemu, crun and native code'
	@echo 'make asan     with sanitizers of memory   make tsan  of threads'
	@echo 'make fuzz     the fuzzers, some seconds each: make fuzz SECONDS=600'
	@echo 'make coverage which lines of the engine its tests reach'
	@echo 'make install  into PREFIX=$(PREFIX)   make guest   kernel, initramfs, disk, root file systems'
	@echo 'make deps     the packages only    make format   clang-format    make clean'

$(BUILD)/build.ninja:
	scripts/deps.sh build
	meson setup $(BUILD)

run: all guest
	scripts/demo.sh

check: deps all guest
	scripts/programs.sh
	tests/run $(if $(SKIPS),--skips $(SKIPS))

bench: all guest
	scripts/deps.sh bench
	bench/run.py

asan: guest
	scripts/deps.sh build test
	scripts/asan.sh

tsan: guest
	scripts/deps.sh build test
	scripts/tsan.sh

fuzz:
	scripts/deps.sh build test
	scripts/fuzz.sh $(SECONDS)

coverage: guest
	scripts/deps.sh build test
	scripts/coverage.sh

install: all
	meson configure $(BUILD) -Dprefix=$(abspath $(PREFIX))
	meson install -C $(BUILD)
	for file in vmlinux initramfs.cpio.gz; do \
		[ ! -e $(BUILD)/guest/$$file ] || \
			install -D -m 644 $(BUILD)/guest/$$file $(DESTDIR)$(abspath $(PREFIX))/lib/wirt/guest/$$file || exit 1; \
	done

deps:
	scripts/deps.sh build guest test

guest: all
	scripts/deps.sh guest
	scripts/guest-files.sh $(BUILD)/guest

format:
	git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	rm -rf $(BUILD) build-asan build-tsan build-fuzz
