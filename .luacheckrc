std = "lua54"
max_line_length = 100
max_cyclomatic_complexity = 20
cache = false
exclude_files = { "build", "data", "runs", "tests/golden" }

-- names that say that a value is not used
ignore = { "212/self", "212/_.*", "213/_.*", "211/_.*" }

-- tests drop values on purpose, for the collector, and leave loops at once
files["tests"] = { std = "lua54+busted", ignore = { "211/s", "211/ok", "231", "311", "331", "512" } }
files[".busted"] = { std = "lua54" }
