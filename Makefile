# gan-lua: one makefile, no configure step. `make help` lists the targets.
#
# Variables for the command line: CC, CFLAGS (optimisation), BUILD (output folder), PREFIX, DESTDIR,
# LIBDIR, LUA (pkg-config's name of Lua), LINK_LUA=1 (the module brings liblua, for hosts that hide
# theirs), BLAS_CFLAGS, BLAS_LIBS, STB_CFLAGS, WERROR=1, V=1 (shows commands).

BUILD = build
PREFIX = /usr/local
LUA = lua5.4
PKG_CONFIG = pkg-config
CFLAGS = -O2 -g

# ---- warnings --------------------------------------------------------------------------------
# what every compiler finds
CWARN_BASE = -Wall -Wextra -Wshadow
# mistakes with declarations: a function without prototype, declared twice, or forgotten `static`
CWARN_DECL = -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wredundant-decls
# mistakes in expressions
CWARN_EXPR = -Wundef -Wwrite-strings -Wpointer-arith -Wvla
CWARN = $(CWARN_BASE) $(CWARN_DECL) $(CWARN_EXPR) $(if $(WERROR),-Werror)

# ---- packages --------------------------------------------------------------------------------
# Each is looked up once, when it is first needed, so that `make run` can install them before.
lazy = $(eval $(1) := $(2))$($(1))
LUA_CFLAGS = $(call lazy,LUA_CFLAGS,$(shell $(PKG_CONFIG) --cflags $(LUA)))
LUA_LIBS = $(call lazy,LUA_LIBS,$(shell $(PKG_CONFIG) --libs $(LUA)))
STB_CFLAGS = -isystem /usr/include/stb

# The pthread build of OpenBLAS, also where another build is the system's default: the OpenMP one
# brings a second thread runtime, crashes hosts that close a Lua state and hangs after fork.
BLAS_DIR = $(call lazy,BLAS_DIR,$(patsubst %/libopenblas.so,%,$(firstword \
  $(wildcard /usr/lib/*/openblas-pthread/libopenblas.so /usr/lib/openblas-pthread/libopenblas.so))))
BLAS_INC = $(call lazy,BLAS_INC,$(patsubst %/cblas.h,%,$(firstword \
  $(wildcard /usr/include/*/openblas-pthread/cblas.h /usr/include/openblas-pthread/cblas.h))))
BLAS_CFLAGS = $(call lazy,BLAS_CFLAGS,$(if $(BLAS_INC),-isystem $(BLAS_INC),$(shell \
  $(PKG_CONFIG) --cflags openblas)))
BLAS_LIBS = $(call lazy,BLAS_LIBS,$(if $(BLAS_DIR),-L$(BLAS_DIR) \
  -Wl$(comma)-rpath$(comma)$(BLAS_DIR) -lopenblas,$(shell $(PKG_CONFIG) --libs openblas)))
comma = ,

# a line for each file instead of the whole command: $(call say,CC,$@)
say = $(if $(V),,@echo '  $(1)  $(2)';)

# ---- compilation -----------------------------------------------------------------------------
# DEFS and SANITIZE belong to the variants (double, asan, tsan), which build in other folders.
DEFS =
SANITIZE =
CC_ALL = -std=gnu11 -fPIC -fvisibility=hidden -pthread -Iruntime -MMD -MP \
  $(CWARN) $(DEFS) $(SANITIZE)
KERNEL_FLAGS = -O3 -fno-math-errno -fno-trapping-math -ffp-contract=fast

MACHINE = $(call lazy,MACHINE,$(shell $(CC) -dumpmachine 2>/dev/null))
ISAS = $(call lazy,ISAS,base $(if $(filter x86_64-%,$(MACHINE)),avx2 avx512))
ISA_FLAGS_base =
ISA_FLAGS_avx2 = -mavx2 -mfma
ISA_FLAGS_avx512 = -mavx512f -mavx512vl -mavx512dq -mavx512bw -mfma -mprefer-vector-width=512

KERNEL_C := $(filter-out runtime/kernels/isa.c,$(wildcard runtime/kernels/*.c))
RUNTIME_C := $(wildcard runtime/core/*.c runtime/ops/*.c runtime/files/*.c runtime/lua/*.c) \
  $(wildcard runtime/kernels/isa.c)
LUA_FILES := $(shell find lua/gan -name '*.lua' 2>/dev/null | LC_ALL=C sort)
LUA_DIRS := $(patsubst %/,%,$(sort $(dir $(LUA_FILES))))
HOST_C := $(wildcard tests/*.c)

# gan.mpi, several processes: a file of its own, which alone needs MPI, built where there is one
MPICC = mpicc
MPI := $(shell command -v $(MPICC) 2>/dev/null)
EMBED_C := $(wildcard examples/embed/*.c)

KERNEL_O = $(foreach isa,$(ISAS),$(KERNEL_C:runtime/%.c=$(BUILD)/obj/%.$(isa).o))
RUNTIME_O = $(RUNTIME_C:runtime/%.c=$(BUILD)/obj/%.o)
ALL_O = $(RUNTIME_O) $(KERNEL_O) $(BUILD)/obj/embed.o
HOSTS = $(HOST_C:tests/%.c=$(BUILD)/tests/%) $(EMBED_C:examples/embed/%.c=$(BUILD)/tests/%)
MODULE = $(BUILD)/$(if $(LINK_LUA),hosted/)gan.so

# The shared library's name holds the number of its interface: it is raised when something of gan.h
# or gan_lua.h changes so that programs must be compiled anew.
SOVERSION = 0
VERSION := $(shell sed -n 's/^.define GAN_VERSION "\(.*\)"/\1/p' runtime/gan.h)
LIBGAN = libgan.so.$(VERSION)

.PHONY: all program module library mpi double asan tsan hosts test run check doc install \
  uninstall deb clean help print-blas
.DELETE_ON_ERROR:
.SECONDARY:

all: program module library $(if $(MPI),mpi)
program: $(BUILD)/gan-lua
module: $(MODULE)
library: $(BUILD)/libgan.a $(BUILD)/$(LIBGAN)
mpi: $(BUILD)/gan/mpi.so
hosts: $(HOSTS) $(BUILD)/gan.so $(BUILD)/hosted/gan.so

# says what is missing, and what to type, before the first compilation
$(BUILD)/packages: scripts/setup
	@scripts/setup --check
	@mkdir -p $(@D) && touch $@

$(BUILD)/obj/%.o: runtime/%.c | $(BUILD)/packages
	@mkdir -p $(@D)
	$(call say,CC ,$@)\
	  $(CC) $(CC_ALL) $(CFLAGS) $(LUA_CFLAGS) $(BLAS_CFLAGS) $(STB_CFLAGS) $(CPPFLAGS) \
	  -c $< -o $@

define KERNEL_RULE
$$(BUILD)/obj/kernels/%.$(1).o: runtime/kernels/%.c | $$(BUILD)/packages
	@mkdir -p $$(@D)
	$$(call say,CC ,$$@)\
	  $$(CC) $$(CC_ALL) $$(CFLAGS) $$(KERNEL_FLAGS) $$(ISA_FLAGS_$(1)) -DGAN_ISA=$(1) $$(CPPFLAGS) \
	  -c $$< -o $$@
endef
$(foreach isa,base avx2 avx512,$(eval $(call KERNEL_RULE,$(isa))))

# style and script of the report's page; uPlot, an npm package, is part of it where it is there
UPLOT = $(call lazy,UPLOT,$(wildcard $(or $(GAN_NPM),$(or \
  $(XDG_CACHE_HOME),$(HOME)/.cache)/gan-lua/npm)/node_modules/uplot))
PAGE = lua/gan/report/page.css lua/gan/report/page.js
ASSETS = $(BUILD)/lua/gan/report/assets.lua

$(ASSETS): scripts/embed-page $(PAGE) $(wildcard $(UPLOT)/dist/uPlot.iife.min.js)
	@mkdir -p $(@D)
	$(call say,PAGE,$@)\
	  scripts/embed-page $(PAGE) $(UPLOT) > $@

# the Lua sources of the library, inside the program and the module
$(BUILD)/obj/embed.S: scripts/embed $(LUA_FILES) $(LUA_DIRS) $(ASSETS)
	@mkdir -p $(@D)
	$(call say,LUA,$@)\
	  scripts/embed $(LUA_FILES) $(ASSETS) > $@

$(BUILD)/obj/embed.o: $(BUILD)/obj/embed.S $(LUA_FILES) $(ASSETS) | $(BUILD)/packages
	$(call say,AS ,$@)\
	  $(CC) -c $< -o $@

$(BUILD)/libgan.a: $(ALL_O)
	@rm -f $@
	$(call say,AR ,$@)\
	  $(AR) rcs $@ $^

# nodelete: the thread team outlives the Lua state that loaded the module
SHARED = $(CC) -shared -pthread $(SANITIZE) -Wl,-z,nodelete -Wl,--exclude-libs,ALL \
  -Wl,--as-needed $(LDFLAGS)

$(BUILD)/gan.so: $(ALL_O)
	$(call say,LD ,$@)\
	  $(SHARED) -o $@ $^ $(BLAS_LIBS) -lm

# for hosts whose Lua is a shared library that they load for themselves alone (RTLD_LOCAL)
$(BUILD)/hosted/gan.so: $(ALL_O)
	@mkdir -p $(@D)
	$(call say,LD ,$@)\
	  $(SHARED) -o $@ $^ $(LUA_LIBS) $(BLAS_LIBS) -lm

$(BUILD)/$(LIBGAN): $(ALL_O)
	$(call say,LD ,$@)\
	  $(SHARED) -Wl,-soname,libgan.so.$(SOVERSION) -o $@ $^ $(LUA_LIBS) $(BLAS_LIBS) -lm
	@ln -sf $(LIBGAN) $(BUILD)/libgan.so.$(SOVERSION)
	@ln -sf libgan.so.$(SOVERSION) $(BUILD)/libgan.so

$(BUILD)/gan/mpi.so: runtime/lua/mpi/mpi.c runtime/core/transport.h | $(BUILD)/packages
	@mkdir -p $(@D)
	$(call say,LD ,$@)\
	  OMPI_CC='$(CC)' MPICH_CC='$(CC)' $(MPICC) $(CC_ALL) $(CFLAGS) $(LUA_CFLAGS) $(CPPFLAGS) \
	  -shared -MF $(BUILD)/obj/mpi.d $(LDFLAGS) -o $@ $<

# rdynamic: C modules that scripts load may use gan.h
$(BUILD)/gan-lua: $(BUILD)/obj/main.o $(BUILD)/libgan.a
	$(call say,LD ,$@)\
	  $(CC) -pthread $(SANITIZE) -rdynamic $(LDFLAGS) -o $@ $^ $(LUA_LIBS) $(BLAS_LIBS) -lm -ldl

$(BUILD)/tests/%: tests/%.c $(BUILD)/libgan.a | $(BUILD)/packages
	@mkdir -p $(@D)
	$(call say,CC ,$@)\
	  $(CC) $(CC_ALL) $(CFLAGS) $(LUA_CFLAGS) $(CPPFLAGS) -o $@ $< $(BUILD)/libgan.a $(LDFLAGS) \
	  $(LUA_LIBS) $(BLAS_LIBS) -lm -ldl

# the host that has no Lua of its own
$(BUILD)/tests/private: tests/private.c
	@mkdir -p $(@D)
	$(call say,CC ,$@)\
	  $(CC) $(CC_ALL) $(CFLAGS) $(LUA_CFLAGS) $(CPPFLAGS) -o $@ $< $(LDFLAGS) -ldl

# the C hosts of the examples, linked as somebody else's program would be
$(BUILD)/tests/%: examples/embed/%.c $(BUILD)/$(LIBGAN) | $(BUILD)/packages
	@mkdir -p $(@D)
	$(call say,CC ,$@)\
	  $(CC) $(CC_ALL) $(CFLAGS) -Iruntime/lua $(LUA_CFLAGS) $(CPPFLAGS) -o $@ $< $(LDFLAGS) \
	  -L$(BUILD) -Wl,-rpath,$(abspath $(BUILD)) -lgan $(LUA_LIBS)

-include $(shell find $(BUILD)/obj $(BUILD)/tests -name '*.d' 2>/dev/null)

# ---- variants --------------------------------------------------------------------------------
# the same sources with other flags, in $(BUILD)/NAME

double:
	@+$(MAKE) --no-print-directory BUILD=$(BUILD)/double DEFS=-DGAN_DOUBLE program module

ASAN = -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
asan:
	@+$(MAKE) --no-print-directory BUILD=$(BUILD)/asan SANITIZE='$(ASAN)' CFLAGS='-O1 -g' all hosts

tsan:
	@+$(MAKE) --no-print-directory BUILD=$(BUILD)/tsan SANITIZE=-fsanitize=thread CFLAGS='-O1 -g' \
	  all hosts

# run and test build on all processors, unless -j was given
JOBS = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc 2>/dev/null))

# ---- use -------------------------------------------------------------------------------------

run:
	@scripts/setup
	@+$(MAKE) --no-print-directory $(JOBS) all
	@$(BUILD)/gan-lua examples/gan.lua $(ARGS)

test:
	@scripts/setup --test
	@+$(MAKE) --no-print-directory $(JOBS) all hosts
	@+$(MAKE) --no-print-directory $(JOBS) double asan
	@scripts/test $(BUILD)

check:
	@scripts/check $(BUILD)

# the reference, and definition files for editors
doc: program
	@GAN_LUA=$(BUILD)/gan-lua scripts/reference $(BUILD)/doc $(BUILD)/types

# The module goes where a stock Lua looks for modules below PREFIX: pkg-config's folder (which on
# Debian names the machine) for /usr, lib/lua/5.4 elsewhere.
CMOD = $(if $(filter /usr,$(PREFIX)),$(shell $(PKG_CONFIG) --variable=INSTALL_CMOD $(LUA)),$(or \
  $(INSTALL_CMOD),$(PREFIX)/lib/lua/$(LUA:lua%=%)))
LIBDIR = $(PREFIX)/lib
DOC = $(PREFIX)/share/doc/gan-lua
TYPES = $(PREFIX)/share/gan-lua/types
MAN = $(PREFIX)/share/man/man1/gan-lua.1
BASH = $(PREFIX)/share/bash-completion/completions/gan-lua
ZSH = $(PREFIX)/share/zsh/site-functions/_gan-lua
MANUAL = $(BUILD)/manual.page $(BUILD)/manual.bash $(BUILD)/manual.zsh
INSTALLED = $(PREFIX)/bin/gan-lua $(CMOD)/gan.so $(LIBDIR)/libgan.a $(LIBDIR)/$(LIBGAN) \
  $(LIBDIR)/libgan.so.$(SOVERSION) $(LIBDIR)/libgan.so $(LIBDIR)/pkgconfig/gan.pc \
  $(if $(MPI),$(CMOD)/gan/mpi.so) \
  $(PREFIX)/include/gan.h $(PREFIX)/include/gan_lua.h $(MAN) $(BASH) $(ZSH) \
  $(DOC)/README.md

# the manual page and the completions of shells, from the commands' own tables
$(BUILD)/manual.%: $(BUILD)/gan-lua
	$(call say,LUA,$@)\
	  $< -E -e 'io.write(require("gan.manual").$*())' > $@

install: all doc $(MANUAL)
	@for d in $(sort $(dir $(INSTALLED))); do install -d "$(DESTDIR)$$d" || exit 1; done
	install -s -m 755 $(BUILD)/gan-lua $(DESTDIR)$(PREFIX)/bin/
	install -s -m 644 $(MODULE) $(DESTDIR)$(CMOD)/
	$(if $(MPI),install -s -m 644 $(BUILD)/gan/mpi.so $(DESTDIR)$(CMOD)/gan/)
	install -m 644 $(BUILD)/libgan.a $(DESTDIR)$(LIBDIR)/
	install -s -m 644 $(BUILD)/$(LIBGAN) $(DESTDIR)$(LIBDIR)/
	ln -sf $(LIBGAN) $(DESTDIR)$(LIBDIR)/libgan.so.$(SOVERSION)
	ln -sf libgan.so.$(SOVERSION) $(DESTDIR)$(LIBDIR)/libgan.so
	sed -e 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@VERSION@|$(VERSION)|; s|@LUA@|$(LUA)|' \
	  -e 's|@BLAS@|$(BLAS_LIBS)|' runtime/gan.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/gan.pc
	install -m 644 runtime/gan.h runtime/lua/gan_lua.h $(DESTDIR)$(PREFIX)/include/
	install -m 644 $(BUILD)/manual.page $(DESTDIR)$(MAN)
	install -m 644 $(BUILD)/manual.bash $(DESTDIR)$(BASH)
	install -m 644 $(BUILD)/manual.zsh $(DESTDIR)$(ZSH)
	install -m 644 README.md CHANGELOG.md LICENSE $(DESTDIR)$(DOC)/
	cp -R examples $(BUILD)/doc $(DESTDIR)$(DOC)/
	install -d $(DESTDIR)$(TYPES)
	cp -R $(BUILD)/types/. $(DESTDIR)$(TYPES)/
	chmod -R u=rwX,go=rX $(DESTDIR)$(DOC) $(DESTDIR)$(TYPES)

uninstall:
	rm -f $(INSTALLED:%=$(DESTDIR)%)
	rm -rf $(DESTDIR)$(DOC) $(DESTDIR)$(TYPES)
	-rmdir $(DESTDIR)$(PREFIX)/share/gan-lua 2>/dev/null || true

deb: all
	+@scripts/deb $(BUILD)

clean:
	rm -rf $(BUILD)

# for scripts that link
print-blas:
	@echo '$(BLAS_LIBS)'

help:
	@echo 'make              the program, the module, the library: $(BUILD)/gan-lua gan.so libgan.a'
	@echo 'make mpi          $(BUILD)/gan/mpi.so, to train by several processes (scripts/setup --mpi)'
	@echo 'make run          installs what is missing, builds, trains examples/gan.lua; ARGS=--help'
	@echo 'make test         everything that is tested; ends with "N passed, N failed"'
	@echo 'make check        warnings as errors, luacheck, size limits, layering'
	@echo 'make doc          the reference in $(BUILD)/doc, definitions for editors in $(BUILD)/types'
	@echo 'make double       the same in double precision: $(BUILD)/double/gan-lua'
	@echo 'make asan, tsan   with sanitizers: $(BUILD)/asan/gan-lua, $(BUILD)/tsan/gan-lua'
	@echo 'make install      to PREFIX=/usr/local (DESTDIR for packages); make uninstall'
	@echo 'make deb          a Debian package: $(BUILD)/gan-lua_VERSION_ARCHITECTURE.deb'
	@echo 'make clean        removes $(BUILD)'
