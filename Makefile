# gan-lua: one makefile, no configure step. `make help` lists the targets.
#
# Variables for the command line: CC, CFLAGS (optimisation), BUILD (output folder), PREFIX, DESTDIR,
# LUA (pkg-config's name of Lua), BLAS_CFLAGS, BLAS_LIBS, STB_CFLAGS, WERROR=1,
# V=1 (shows commands).

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

KERNEL_O = $(foreach isa,$(ISAS),$(KERNEL_C:runtime/%.c=$(BUILD)/obj/%.$(isa).o))
RUNTIME_O = $(RUNTIME_C:runtime/%.c=$(BUILD)/obj/%.o)
ALL_O = $(RUNTIME_O) $(KERNEL_O) $(BUILD)/obj/embed.o
HOSTS = $(HOST_C:tests/%.c=$(BUILD)/tests/%)

.PHONY: all program module library double asan tsan hosts test run check install uninstall clean \
  help print-blas
.DELETE_ON_ERROR:
.SECONDARY:

all: program module library
program: $(BUILD)/gan-lua
module: $(BUILD)/gan.so
library: $(BUILD)/libgan.a
hosts: $(HOSTS)

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

# the Lua sources of the library, inside the program and the module
$(BUILD)/obj/embed.S: scripts/embed $(LUA_FILES) $(LUA_DIRS)
	@mkdir -p $(@D)
	$(call say,LUA,$@)\
	  scripts/embed $(LUA_FILES) > $@

$(BUILD)/obj/embed.o: $(BUILD)/obj/embed.S $(LUA_FILES) | $(BUILD)/packages
	$(call say,AS ,$@)\
	  $(CC) -c $< -o $@

$(BUILD)/libgan.a: $(ALL_O)
	@rm -f $@
	$(call say,AR ,$@)\
	  $(AR) rcs $@ $^

# nodelete: the thread team outlives the Lua state that loaded the module
$(BUILD)/gan.so: $(ALL_O)
	$(call say,LD ,$@)\
	  $(CC) -shared -pthread $(SANITIZE) -Wl,-z,nodelete -Wl,--exclude-libs,ALL -Wl,--as-needed \
	  $(LDFLAGS) -o $@ $^ $(BLAS_LIBS) -lm

# rdynamic: C modules that scripts load may use gan.h
$(BUILD)/gan-lua: $(BUILD)/obj/main.o $(BUILD)/libgan.a
	$(call say,LD ,$@)\
	  $(CC) -pthread $(SANITIZE) -rdynamic $(LDFLAGS) -o $@ $^ $(LUA_LIBS) $(BLAS_LIBS) -lm -ldl

$(BUILD)/tests/%: tests/%.c $(BUILD)/libgan.a | $(BUILD)/packages
	@mkdir -p $(@D)
	$(call say,CC ,$@)\
	  $(CC) $(CC_ALL) $(CFLAGS) $(LUA_CFLAGS) $(CPPFLAGS) -o $@ $< $(BUILD)/libgan.a $(LDFLAGS) \
	  $(LUA_LIBS) $(BLAS_LIBS) -lm -ldl

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

# The module goes where a stock Lua looks for modules below PREFIX: pkg-config's folder (which on
# Debian names the machine) for /usr, lib/lua/5.4 elsewhere.
CMOD = $(if $(filter /usr,$(PREFIX)),$(shell $(PKG_CONFIG) --variable=INSTALL_CMOD $(LUA)),$(or \
  $(INSTALL_CMOD),$(PREFIX)/lib/lua/$(LUA:lua%=%)))
INSTALLED = $(PREFIX)/bin/gan-lua $(CMOD)/gan.so $(PREFIX)/lib/libgan.a $(PREFIX)/include/gan.h \
  $(PREFIX)/include/gan_lua.h \
  $(PREFIX)/share/doc/gan-lua/README.md $(PREFIX)/share/doc/gan-lua/LICENSE

install: all
	@for d in $(sort $(dir $(INSTALLED))); do install -d "$(DESTDIR)$$d" || exit 1; done
	install -s -m 755 $(BUILD)/gan-lua $(DESTDIR)$(PREFIX)/bin/
	install -s -m 644 $(BUILD)/gan.so $(DESTDIR)$(CMOD)/
	install -m 644 $(BUILD)/libgan.a $(DESTDIR)$(PREFIX)/lib/
	install -m 644 runtime/gan.h runtime/lua/gan_lua.h $(DESTDIR)$(PREFIX)/include/
	install -m 644 README.md LICENSE $(DESTDIR)$(PREFIX)/share/doc/gan-lua/

uninstall:
	rm -f $(INSTALLED:%=$(DESTDIR)%)
	-rmdir $(DESTDIR)$(PREFIX)/share/doc/gan-lua 2>/dev/null || true

clean:
	rm -rf $(BUILD)

# for scripts that link
print-blas:
	@echo '$(BLAS_LIBS)'

help:
	@echo 'make              the program, the module, the library: $(BUILD)/gan-lua gan.so libgan.a'
	@echo 'make run          installs what is missing, builds, trains examples/gan.lua; ARGS=--help'
	@echo 'make test         everything that is tested; ends with "N passed, N failed"'
	@echo 'make check        warnings as errors, luacheck, size limits, layering'
	@echo 'make double       the same in double precision: $(BUILD)/double/gan-lua'
	@echo 'make asan, tsan   with sanitizers: $(BUILD)/asan/gan-lua, $(BUILD)/tsan/gan-lua'
	@echo 'make install      to PREFIX=/usr/local (DESTDIR for packages); make uninstall'
	@echo 'make clean        removes $(BUILD)'
