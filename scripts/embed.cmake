# SPDX-License-Identifier: Apache-2.0
# cmake -DOUT=dsl_source.c -DIN="a.lua;b.lua" -P embed.cmake: text files, joined, as a C array.
set(text "")
foreach(file IN LISTS IN)
  file(READ "${file}" part HEX)
  string(APPEND text "${part}")
endforeach()
string(LENGTH "${text}" digits)
math(EXPR size "${digits} / 2")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${text}")
file(WRITE "${OUT}" "// Made by scripts/embed.cmake.\n#include <stddef.h>\n"
  "extern const char dsl_source[];\nextern const size_t dsl_source_size;\n"
  "const char dsl_source[] = {${bytes}0};\nconst size_t dsl_source_size = ${size};\n")
