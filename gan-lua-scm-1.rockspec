-- Builds from a checkout: luarocks --lua-version=5.4 make
-- The makefile finds OpenBLAS and stb by itself (Debian keeps cblas.h where luarocks does not look),
-- and says what to install when they are missing.
rockspec_format = "3.0"
package = "gan-lua"
version = "scm-1"

source = { url = "git+file://." }

description = {
  summary = "Tensors, gradients and neural networks for Lua",
  detailed = [[
    A C runtime of tensors, automatic differentiation and layer primitives, with layers, losses,
    optimisers and training loops in Lua. Auto-encoders and generative adversarial networks on the
    CPU, in a program of its own or as a module for any Lua 5.4 host.
  ]],
  license = "MIT",
  labels = { "machine-learning", "tensor", "autograd", "gan" },
}

dependencies = { "lua >= 5.4, < 5.6" }

build = {
  type = "make",
  build_target = "module",
  install_pass = false,
  build_variables = {
    CFLAGS = "$(CFLAGS)",
    LUA_CFLAGS = "-I$(LUA_INCDIR)",
  },
  install = {
    lib = { gan = "build/gan.so" },
  },
}

test = { type = "command", command = "make test" }
