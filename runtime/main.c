/*
** main.c - the program gan-lua: the stand-alone Lua interpreter with the runtime inside.
**
** Options, arguments, environment, messages and exit codes are those of lua 5.4, whose lua.c gave
** this file its structure. What is added: `gan` and its submodules are preloaded from inside the
** program, the collector starts in incremental mode (generational mode does not see tensors become
** garbage), --help, and a REPL that is written in Lua (lua/gan/repl.lua) over the small line reader
** below. Line editing is libedit's when it is found at run time; nothing is linked for it.
*/
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "lua/gan_lua.h"

#define LUA_INIT_VAR "LUA_INIT"
#define LUA_INIT_VERSIONED LUA_INIT_VAR "_" LUA_VERSION_MAJOR "_" LUA_VERSION_MINOR

static lua_State *main_state;
static pthread_t main_thread;
static const char *progname = "gan-lua";

static int exit_code; /* of a script that ends with an error; 0: EXIT_FAILURE */

/* ---- Ctrl-C ------------------------------------------------------------------------------- */

/*
** What a signal does. DEFERRED: it waits in `pending`, at which a training loop looks after every
** step. PROMPTING, at a prompt in such a loop: Ctrl-C stops the line, one that ends the program
** (SIGTERM, or SIGHUP of a terminal that is closed) does so and waits.
*/
enum { PLAIN, DEFERRED, PROMPTING };
static volatile sig_atomic_t mode;
static volatile sig_atomic_t pending; /* the signal that came meanwhile; 0: none */
static bool taken;                    /* the loop knows of it */
static volatile sig_atomic_t reading; /* a line is being read: back to there */
static sigjmp_buf at_prompt;
static volatile sig_atomic_t failed;   /* an error was reported */

/* Hook that raises an error in the chunk that was interrupted. */
static void stop (lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  luaL_error(L, "interrupted!");
}

/* What is done at signals that end the program, unless whoever started us has them ignored. */
static void on_ending (void (*action)(int)) {
  static const int endings[] = {SIGTERM, SIGHUP};
  for (int i = 0; i < 2; i++)
    if (signal(endings[i], action) == SIG_IGN) signal(endings[i], SIG_IGN);
}

/*
** A signal may arrive in any thread, and only the main one may touch the state: others pass it on.
** After the first Ctrl-C a second one ends the program, should a long operation not come back. A
** terminal that is closed may say so twice: the second SIGHUP is nothing new. Signals that end the
** program come here only while they are deferred, or at a prompt meanwhile.
*/
static void on_interrupt (int sig) {
  int events = LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT;
  if (!pthread_equal(pthread_self(), main_thread)) {
    pthread_kill(main_thread, sig);
    return;
  }
  signal(SIGINT, SIG_DFL);
  if (mode == DEFERRED || sig != SIGINT) {
    on_ending(SIG_DFL);
    if (sig == SIGHUP) signal(SIGHUP, SIG_IGN);
    pending = sig;
  }
  if (reading) siglongjmp(at_prompt, 1);
  if (mode != DEFERRED) lua_sethook(main_state, stop, events, 1);
}

/* Ends the program as the signal would have done at once. */
static void end_by (int sig) {
  signal(sig, SIG_DFL);
  raise(sig);
}

/*
** program.defer(how) -> the value before. From defer(true) to defer(false), Ctrl-C, SIGTERM and
** SIGHUP do not stop the program: it asks program.pending(). A second signal stops it at once. In
** between, from defer "prompt" to defer(true), Ctrl-C stops what is done, the others end reading.
*/
static int program_defer (lua_State *L) {
  int before = mode, to = lua_type(L, 1) == LUA_TSTRING ? PROMPTING : lua_toboolean(L, 1);
  int sig = taken ? 0 : pending;
  if (before == PROMPTING) lua_pushliteral(L, "prompt");
  else lua_pushboolean(L, before == DEFERRED);
  if (to == before) return 1;
  pending = before == PLAIN || to == PLAIN ? 0 : sig;
  taken = false;
  mode = to;
  if (!pending) {
    on_ending(to != PLAIN ? on_interrupt : SIG_DFL);
    if (to != PLAIN) signal(SIGINT, on_interrupt);
  }
  if (to != PLAIN || !sig) return 1;
  if (sig != SIGINT) end_by(sig); /* it came after the last question */
  return luaL_error(L, "interrupted!");
}

/* program.pending() -> the exit code for the signal that came: 129, 130 or 143; nil: none came */
static int program_pending (lua_State *L) {
  if (!pending) return 0;
  taken = true;
  lua_pushinteger(L, 128 + pending);
  return 1;
}

/* program.foreground() -> whether the terminal of the input is ours to read from */
static int program_foreground (lua_State *L) {
  lua_pushboolean(L, tcgetpgrp(STDIN_FILENO) == getpgrp());
  return 1;
}

/*
** package.loaded["gan.program"]: what the library may ask of this program, and of no other host.
** signal and failed are the addresses of `pending` and of whether an error was reported, for C that
** waits or that cleans up.
*/
static void open_program (lua_State *L) {
  static const luaL_Reg functions[] = {{"defer", program_defer},
                                       {"pending", program_pending},
                                       {"foreground", program_foreground},
                                       {NULL, NULL}};
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  luaL_newlib(L, functions);
  lua_pushlightuserdata(L, (void *)&pending);
  lua_setfield(L, -2, "signal");
  lua_pushlightuserdata(L, (void *)&failed);
  lua_setfield(L, -2, "failed");
  lua_setfield(L, -2, "gan.program");
  lua_pop(L, 1);
}

/* ---- messages ----------------------------------------------------------------------------- */

static void message (const char *pname, const char *msg) {
  if (pname) lua_writestringerror("%s: ", pname);
  lua_writestringerror("%s\n", msg);
}

/* Prints the error object on the top of the stack (when status tells so) and removes it. */
static int report (lua_State *L, int status) {
  if (status != LUA_OK) {
    const char *msg = lua_tostring(L, -1);
    if (msg == NULL) msg = "(error message not a string)";
    failed = 1;
    message(progname, msg);
    lua_pop(L, 1);
  }
  return status;
}

/* An error object may say with which code the program ends: its field exit_code. */
static void note_exit_code (lua_State *L) {
  exit_code = 0;
  if (!lua_istable(L, 1)) return;
  lua_pushliteral(L, "exit_code");
  lua_rawget(L, 1);
  exit_code = (int)lua_tointeger(L, -1) & 255;
  lua_pop(L, 1);
}

static int traceback (lua_State *L) {
  const char *msg = lua_tostring(L, 1);
  note_exit_code(L);
  if (msg == NULL) {
    if (luaL_callmeta(L, 1, "__tostring") && lua_type(L, -1) == LUA_TSTRING) return 1;
    msg = lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
  }
  luaL_traceback(L, L, msg, 1);
  return 1;
}

/*
** lua_pcall with a traceback, during which Ctrl-C raises an error. Whoever deferred signals in it
** and did not say that this is over (gan.poll in a loop that was left) is done with them now.
*/
static int docall (lua_State *L, int narg, int nres) {
  int status;
  int base = lua_gettop(L) - narg;
  int before = mode;
  lua_pushcfunction(L, traceback);
  lua_insert(L, base);
  main_state = L;
  signal(SIGINT, on_interrupt);
  status = lua_pcall(L, narg, nres, base);
  signal(SIGINT, SIG_DFL);
  if (mode != PLAIN && before == PLAIN) {
    mode = PLAIN;
    pending = 0;
    taken = false;
    on_ending(SIG_DFL);
  }
  lua_remove(L, base);
  return status;
}

/* ---- options ------------------------------------------------------------------------------ */

enum { HAS_ERROR = 1, HAS_I = 2, HAS_V = 4, HAS_E = 8, HAS_ENV = 16, HAS_HELP = 32 };

static void print_usage (FILE *to) {
  fprintf(to,
          "usage: %s [options] [script [args]]\n"
          "       %s command [args]\n"
          "Lua 5.4 with tensors, gradients and neural networks: local gan = require \"gan\"\n"
          "Available options are:\n"
          "  -e stat   execute string 'stat'\n"
          "  -i        enter interactive mode after executing 'script'\n"
          "  -l mod    require library 'mod' into global 'mod'\n"
          "  -l g=mod  require library 'mod' into global 'g'\n"
          "  -v        show version information\n"
          "  -E        ignore environment variables\n"
          "  -W        turn warnings on\n"
          "  --help    show this text\n"
          "  --        stop handling options\n"
          "  -         stop handling options and execute stdin\n",
          progname, progname);
  fflush(to);
}

static void print_bad_option (const char *option) {
  lua_writestringerror("%s: ", progname);
  if (option[1] == 'e' || option[1] == 'l')
    lua_writestringerror("'%s' needs argument\n", option);
  else
    lua_writestringerror("unrecognized option '%s'\n", option);
  print_usage(stderr);
}

static void print_version (void) {
  printf("gan-lua " GAN_VERSION "  %s\n", LUA_COPYRIGHT);
  fflush(stdout);
}

/*
** Traverses the options without running them. `first` becomes the index of the first argument that
** is not an option: the script, 0 when there is none, or the faulty option.
*/
static int scan_options (char **argv, int *first) {
  int args = 0;
  int i;
  for (i = 1; argv[i] != NULL; i++) {
    *first = i;
    if (argv[i][0] != '-') return args;
    switch (argv[i][1]) {
      case '\0': return args; /* '-': the script is stdin */
      case '-':
        if (strcmp(argv[i], "--help") == 0) return args | HAS_HELP;
        if (argv[i][2] != '\0') return HAS_ERROR;
        *first = i + 1;
        return args;
      case 'E':
        if (argv[i][2] != '\0') return HAS_ERROR;
        args |= HAS_ENV;
        break;
      case 'i': args |= HAS_I; /* fall through: -i implies -v */
      /* FALLTHROUGH */
      case 'v':
        if (argv[i][2] != '\0') return HAS_ERROR;
        args |= HAS_V;
        break;
      case 'W':
        if (argv[i][2] != '\0') return HAS_ERROR;
        break;
      case 'e': args |= HAS_E; /* fall through: both have an argument */
      /* FALLTHROUGH */
      case 'l':
        if (argv[i][2] == '\0') {
          i++;
          if (argv[i] == NULL || argv[i][0] == '-') return HAS_ERROR;
        }
        break;
      default: return HAS_ERROR;
    }
  }
  *first = i;
  return args;
}

/* The global table `arg`: the script at 0, its arguments after it, the rest before it. */
static void create_arg_table (lua_State *L, char **argv, int argc, int script) {
  int i;
  if (script == argc) script = 0; /* no script name */
  lua_createtable(L, argc - script > 1 ? argc - script - 1 : 0, script + 1);
  for (i = 0; i < argc; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i - script);
  }
  lua_setglobal(L, "arg");
}

/* ---- running ------------------------------------------------------------------------------ */

static int run_chunk (lua_State *L, int status) {
  if (status == LUA_OK) status = docall(L, 0, 0);
  return report(L, status);
}

static int run_file (lua_State *L, const char *name) {
  return run_chunk(L, luaL_loadfile(L, name));
}

static int run_string (lua_State *L, const char *s, const char *name) {
  return run_chunk(L, luaL_loadbuffer(L, s, strlen(s), name));
}

/* -l mod and -l g=mod */
static int run_library (lua_State *L, const char *option) {
  int status;
  const char *equals = strchr(option, '=');
  lua_getglobal(L, "require");
  lua_pushstring(L, equals ? equals + 1 : option);
  status = docall(L, 1, 1);
  if (status == LUA_OK) {
    lua_pushglobaltable(L);
    lua_insert(L, -2);
    if (equals)
      lua_pushlstring(L, option, (size_t)(equals - option));
    else
      lua_pushstring(L, option);
    lua_insert(L, -2);
    lua_settable(L, -3);
    lua_pop(L, 1);
  }
  return report(L, status);
}

/* Runs -e, -l and -W in order; false after an error. */
static bool run_options (lua_State *L, char **argv, int n) {
  int i;
  for (i = 1; i < n; i++) {
    int option = argv[i][1];
    if (option == 'e' || option == 'l') {
      const char *extra = argv[i] + 2;
      if (*extra == '\0') extra = argv[++i];
      int status =
          option == 'e' ? run_string(L, extra, "=(command line)") : run_library(L, extra);
      if (status != LUA_OK) return false;
    } else if (option == 'W') {
      lua_warning(L, "@on", 0);
    }
  }
  return true;
}

static int run_environment (lua_State *L) {
  const char *name = "=" LUA_INIT_VERSIONED;
  const char *init = getenv(name + 1);
  if (init == NULL) {
    name = "=" LUA_INIT_VAR;
    init = getenv(name + 1);
  }
  if (init == NULL) return LUA_OK;
  return init[0] == '@' ? run_file(L, init + 1) : run_string(L, init, name);
}

static int push_script_args (lua_State *L) {
  int i, n;
  if (lua_getglobal(L, "arg") != LUA_TTABLE) luaL_error(L, "'arg' is not a table");
  n = (int)luaL_len(L, -1);
  luaL_checkstack(L, n + 3, "too many arguments to script");
  for (i = 1; i <= n; i++) lua_rawgeti(L, -i, i);
  lua_remove(L, -i);
  return n;
}

/* Pushes the function gan.commands.NAME; false, and nothing is pushed, after an error. */
static bool push_commands (lua_State *L, const char *name) {
  int status;
  lua_getglobal(L, "require");
  lua_pushliteral(L, "gan.commands");
  status = lua_pcall(L, 1, 1, 0);
  if (report(L, status) != LUA_OK) return false;
  lua_getfield(L, -1, name);
  lua_remove(L, -2);
  return true;
}

/* Whether `name` is a command: a bare word (`sample`), no file, and there is such a module. */
static bool is_command (lua_State *L, const char *name) {
  bool found;
  if (strspn(name, "abcdefghijklmnopqrstuvwxyz") != strlen(name)) return false;
  if (access(name, F_OK) == 0 || !push_commands(L, "exists")) return false;
  lua_pushstring(L, name);
  found = lua_pcall(L, 1, 1, 0) == LUA_OK && lua_toboolean(L, -1);
  lua_pop(L, 1);
  return found;
}

/* gan.commands.run(name, args...): what it returns is the program's exit code. */
static int run_command (lua_State *L, const char *name) {
  int status, n;
  if (!push_commands(L, "run")) return LUA_ERRRUN;
  lua_pushstring(L, name);
  n = push_script_args(L);
  status = docall(L, n + 1, 1);
  if (status != LUA_OK) return report(L, status);
  exit_code = (int)lua_tointeger(L, -1) & 255;
  lua_pop(L, 1);
  return exit_code ? LUA_ERRRUN : LUA_OK;
}

/* The commands, for --help. */
static void print_commands (lua_State *L) {
  if (!push_commands(L, "list")) return;
  if (report(L, lua_pcall(L, 0, 1, 0)) != LUA_OK) return;
  fputs(lua_tostring(L, -1), stdout);
  lua_pop(L, 1);
}

static int run_script (lua_State *L, char **argv) {
  const char *name = argv[0];
  int status;
  if (is_command(L, name)) return run_command(L, name);
  if (strcmp(name, "-") == 0 && strcmp(argv[-1], "--") != 0) name = NULL; /* stdin */
  status = luaL_loadfile(L, name);
  if (status == LUA_OK) status = docall(L, push_script_args(L), LUA_MULTRET);
  return report(L, status);
}

/* ---- line reader -------------------------------------------------------------------------- */

/*
** The part of readline's interface that libedit (or readline itself, where somebody asks for it by
** GAN_LUA_READLINE=path) offers; all pointers are NULL when no library was found or the input is
** not a terminal.
*/
static struct {
  char *(*readline)(const char *prompt);
  int (*add_history)(const char *line);
  int (*read_history)(const char *path);
  int (*write_history)(const char *path);
  void (*stifle_history)(int max);
  char **(*matches)(const char *text, char *(*next)(const char *, int));
  char **line;           /* what was typed so far */
  int *append_character; /* what to put after a completed word */
  int *over;             /* non-zero: no completion of file names when ours finds nothing */
} edit;

static const char completer_key = 0; /* registry: the Lua function that completes a word */
static const char matches_key = 0;   /* registry: the words it returned */
static int word_start;               /* where in the line the word begins */

/*
** Asks for the words. Nothing jumps out of Lua meanwhile: Ctrl-C ends the completion, and what was
** typed stays.
*/
static void find_matches (lua_State *L, const char *text) {
  int top = lua_gettop(L);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &completer_key);
  lua_pushstring(L, text);
  lua_pushlstring(L, edit.line ? *edit.line : "", edit.line ? (size_t)word_start : 0);
  reading = 0;
  if (lua_pcall(L, 2, 1, 0) != LUA_OK) lua_pushnil(L);
  lua_sethook(L, NULL, 0, 0);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &matches_key);
  lua_settop(L, top);
  signal(SIGINT, on_interrupt);
  reading = 1;
  if (mode == PROMPTING && pending) siglongjmp(at_prompt, 1);
}

/* Called with 0 for the first match of a word and with more for each further one; NULL: no more. */
static char *next_match (const char *text, int index) {
  static lua_Integer k;
  lua_State *L = main_state;
  int top = lua_gettop(L);
  char *match = NULL;
  if (index == 0) {
    k = 0;
    find_matches(L, text);
  }
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &matches_key) == LUA_TTABLE &&
      lua_rawgeti(L, -1, ++k) == LUA_TSTRING)
    match = strdup(lua_tostring(L, -1));
  lua_settop(L, top);
  return match;
}

static char **complete (const char *text, int start, int end) {
  (void)end;
  word_start = start;
  if (edit.over) *edit.over = 1;
  if (edit.append_character) *edit.append_character = '\0';
  return edit.matches(text, next_match);
}

/* Looks for a library with readline's interface; `edit.readline` stays NULL when there is none. */
static void open_edit (void) {
  static char breaks[] = " \t\n\"'`><=;+*/%^~#{}()[],|&!?.:";
  static char name[] = "gan-lua";
  static const char *const libraries[] = {"libedit.so.2", "libedit.so.0", "libedit.so"};
  const char *asked = getenv("GAN_LUA_READLINE");
  void *lib = asked ? dlopen(asked, RTLD_NOW | RTLD_LOCAL) : NULL;
  void *p;
  size_t i;
  for (i = 0; !lib && i < sizeof libraries / sizeof *libraries; i++)
    lib = dlopen(libraries[i], RTLD_NOW | RTLD_LOCAL);
  if (!lib) return;
  /* the cast of the pointer's address, not of the pointer, is what POSIX asks for */
  *(void **)&edit.readline = dlsym(lib, "readline");
  *(void **)&edit.add_history = dlsym(lib, "add_history");
  *(void **)&edit.read_history = dlsym(lib, "read_history");
  *(void **)&edit.write_history = dlsym(lib, "write_history");
  *(void **)&edit.stifle_history = dlsym(lib, "stifle_history");
  *(void **)&edit.matches = dlsym(lib, "rl_completion_matches");
  edit.line = dlsym(lib, "rl_line_buffer");
  edit.append_character = dlsym(lib, "rl_completion_append_character");
  edit.over = dlsym(lib, "rl_attempted_completion_over");
  if ((p = dlsym(lib, "rl_readline_name")) != NULL) *(char **)p = name;
  if ((p = dlsym(lib, "rl_completer_word_break_characters")) != NULL) *(char **)p = breaks;
  if ((p = dlsym(lib, "rl_basic_word_break_characters")) != NULL) *(char **)p = breaks;
  if (edit.matches && (p = dlsym(lib, "rl_attempted_completion_function")) != NULL)
    *(char **(**)(const char *, int, int))p = complete;
}

/*
** reader.open(complete) -> the function before. complete(word, before) returns the list of words
** that a word may become, given what is in front of it.
*/
static int reader_open (lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &completer_key);
  lua_insert(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &completer_key);
  main_state = L;
  if (!edit.readline && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)) open_edit();
  return 1;
}

/* One line without its newline, in memory of malloc; NULL at the end of the input. */
static char *read_line (const char *prompt) {
  char *line = NULL;
  size_t size = 0;
  ssize_t n;
  if (edit.readline) return edit.readline(prompt);
  fputs(prompt, stdout);
  fflush(stdout);
  n = getline(&line, &size, stdin);
  if (n < 0) {
    free(line);
    return NULL;
  }
  if (n > 0 && line[n - 1] == '\n') line[n - 1] = '\0';
  return line;
}

/*
** reader.read(prompt) -> line; nil at the end of the input; false when Ctrl-C abandoned the line,
** or when a signal that ends the program came since the prompt was opened.
*/
static int reader_read (lua_State *L) {
  const char *prompt = luaL_checkstring(L, 1);
  char *line;
  if (sigsetjmp(at_prompt, 1) != 0) {
    reading = 0;
    lua_writeline();
    lua_pushboolean(L, 0);
    return 1;
  }
  signal(SIGINT, on_interrupt);
  reading = 1;
  if (mode == PROMPTING && pending) siglongjmp(at_prompt, 1);
  line = read_line(prompt);
  reading = 0;
  signal(SIGINT, SIG_DFL);
  if (!line) return 0;
  lua_pushstring(L, line);
  free(line);
  return 1;
}

/* reader.remember(line): adds it to the history. */
static int reader_remember (lua_State *L) {
  const char *line = luaL_checkstring(L, 1);
  if (edit.readline) edit.add_history(line);
  return 0;
}

/* reader.load_history(path), reader.save_history(path): a missing file is no error. */
static int reader_load_history (lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  if (edit.stifle_history) edit.stifle_history(1000);
  if (edit.read_history) edit.read_history(path);
  return 0;
}

static int reader_save_history (lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  if (edit.write_history) edit.write_history(path);
  return 0;
}

/* ---- REPL --------------------------------------------------------------------------------- */

/* reader.call(f, ...): true and the results of f, or false and the message with its traceback. */
static int reader_call (lua_State *L) {
  int status;
  luaL_checkany(L, 1);
  status = docall(L, lua_gettop(L) - 1, LUA_MULTRET);
  if (status != LUA_OK && (exit_code == 128 + SIGTERM || exit_code == 128 + SIGHUP)) {
    report(L, status); /* whoever sent the signal wants no prompt */
    end_by(exit_code - 128);
  }
  lua_pushboolean(L, status == LUA_OK);
  lua_insert(L, 1);
  return lua_gettop(L);
}

static const luaL_Reg reader[] = {{"open", reader_open},
                                  {"read", reader_read},
                                  {"remember", reader_remember},
                                  {"load_history", reader_load_history},
                                  {"save_history", reader_save_history},
                                  {"call", reader_call},
                                  {NULL, NULL}};

/* gan.program.reader: the line reader, for prompts within a run */
static void open_reader (lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, -1, "gan.program");
  luaL_newlib(L, reader);
  lua_setfield(L, -2, "reader");
  lua_pop(L, 2);
}

/* require "gan.repl".run(reader); messages of the REPL carry no program name, as in lua.c */
static int run_repl (lua_State *L) {
  const char *old = progname;
  int status;
  progname = NULL;
  lua_getglobal(L, "require");
  lua_pushliteral(L, "gan.repl");
  status = lua_pcall(L, 1, 1, 0);
  if (status == LUA_OK) {
    lua_getfield(L, -1, "run");
    lua_remove(L, -2);
    luaL_newlib(L, reader);
    status = lua_pcall(L, 1, 0, 0);
  }
  report(L, status);
  progname = old;
  return status;
}

/* ---- main --------------------------------------------------------------------------------- */

/* What is to run, after the options were scanned and the state was opened. */
static bool run_all (lua_State *L, char **argv, int argc, int script, int args) {
  if (!(args & HAS_ENV) && run_environment(L) != LUA_OK) return false;
  if (!run_options(L, argv, script)) return false;
  if (script < argc && run_script(L, argv + script) != LUA_OK) return false;
  if (args & HAS_I) return run_repl(L) == LUA_OK;
  if (script == argc && !(args & (HAS_E | HAS_V))) {
    if (!isatty(STDIN_FILENO)) return run_file(L, NULL) == LUA_OK;
    print_version();
    return run_repl(L) == LUA_OK;
  }
  return true;
}

static int pmain (lua_State *L) {
  int argc = (int)lua_tointeger(L, 1);
  char **argv = (char **)lua_touserdata(L, 2);
  int first = argc;
  int args = scan_options(argv, &first);
  if (argc > 0 && argv[0] && argv[0][0]) progname = argv[0];
  luaL_checkversion(L);
  if (args & HAS_HELP) {
    print_usage(stdout);
    luaL_openlibs(L);
    gan_openlibs(L);
    print_commands(L);
    lua_pushboolean(L, 1);
    return 1;
  }
  if (args == HAS_ERROR) {
    print_bad_option(argv[first]);
    return 0;
  }
  if (args & HAS_V) print_version();
  if (args & HAS_ENV) {
    lua_pushboolean(L, 1);
    lua_setfield(L, LUA_REGISTRYINDEX, "LUA_NOENV");
  }
  luaL_openlibs(L);
  gan_openlibs(L);
  open_program(L);
  open_reader(L);
  create_arg_table(L, argv, argc, first);
  lua_gc(L, LUA_GCRESTART);
  lua_gc(L, LUA_GCINC, 0, 0, 0);
  lua_pushboolean(L, run_all(L, argv, argc, first, args));
  return 1;
}

int main (int argc, char **argv) {
  int status;
  bool ok;
  lua_State *L = luaL_newstate();
  if (L == NULL) {
    message(progname, "cannot create state: not enough memory");
    return EXIT_FAILURE;
  }
  main_thread = pthread_self();
  lua_gc(L, LUA_GCSTOP); /* while the libraries are opened */
  lua_pushcfunction(L, pmain);
  lua_pushinteger(L, argc);
  lua_pushlightuserdata(L, argv);
  status = lua_pcall(L, 2, 1, 0);
  ok = lua_toboolean(L, -1);
  report(L, status);
  lua_close(L);
  if (ok && status == LUA_OK) return EXIT_SUCCESS;
  return exit_code ? exit_code : EXIT_FAILURE;
}
