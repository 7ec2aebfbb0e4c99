// SPDX-License-Identifier: Apache-2.0
#include "formats/number_shim.h"

#include <charconv>

uint32_t number_shim_digits(double d, char out[32], int *point)
{
    char text[40]; // d.ddddde±xxx
    const std::to_chars_result r =
        std::to_chars(text, text + sizeof(text), d, std::chars_format::scientific);
    uint32_t n = 0;
    const char *p = text;
    for (; p != r.ptr && *p != 'e'; p++) {
        if (*p != '.')
            out[n++] = *p;
    }
    int exponent = 0;
    const bool negative = p[1] == '-';
    for (p += 2; p < r.ptr; p++)
        exponent = exponent * 10 + (*p - '0');
    *point = (negative ? -exponent : exponent) + 1;
    return n;
}

uint32_t number_shim_fixed(double d, char out[28])
{
    return (uint32_t)(std::to_chars(out, out + 28, d, std::chars_format::fixed).ptr - out);
}

int number_shim_parse(const char *text, size_t n, double *out)
{
    return std::from_chars(text, text + n, *out).ec == std::errc() ? 0 : -1;
}
