// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <strings.h>

enum { NAME_MAX_LENGTH = 64 };

// Levenshtein distance over two rows; names longer than 64 are never near.
static int distance(const char *a, const char *b)
{
    int la = (int)strlen(a), lb = (int)strlen(b);
    if (la > NAME_MAX_LENGTH || lb > NAME_MAX_LENGTH)
        return 1000;
    int row[NAME_MAX_LENGTH + 1];
    for (int j = 0; j <= lb; j++)
        row[j] = j;
    for (int i = 1; i <= la; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= lb; j++) {
            int change =
                diagonal + (tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]));
            diagonal = row[j];
            int best = change < row[j] + 1 ? change : row[j] + 1;
            row[j] = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
        }
    }
    return row[lb];
}

const char *text_nearest(const char *name, const char *(*get)(void *arg, int i), void *arg)
{
    int limit = (int)strlen(name) / 3 < 2 ? 2 : (int)strlen(name) / 3, best = limit + 1;
    const char *found = NULL, *s;
    for (int i = 0; (s = get(arg, i)) != NULL; i++) {
        int d = distance(name, s);
        if (d < best) {
            best = d;
            found = s;
        }
    }
    return found;
}

static const char *array_get(void *arg, int i)
{
    return ((const char *const *)arg)[i];
}

const char *text_nearest_of(const char *name, const char *const *names)
{
    return text_nearest(name, array_get, (void *)names);
}

struct unit {
    const char *name;
    int64_t factor;
};

static int with_unit(const char *s, const struct unit *units, int64_t *out)
{
    char *rest;
    double v = strtod(s, &rest);
    if (rest == s || !(v >= 0))
        return -1;
    for (; units->name != NULL; units++) {
        if (strcasecmp(rest, units->name) == 0 && v * (double)units->factor < 9e18) {
            *out = (int64_t)(v * (double)units->factor + 0.5);
            return 0;
        }
    }
    return -1;
}

static const struct unit durations[] = {{"ms", 1},      {"s", 1000},     {"m", 60000},
                                        {"h", 3600000}, {"d", 86400000}, {"w", 604800000},
                                        {NULL, 0}};

int text_duration_ms(const char *s, int64_t *out, struct err *e)
{
    if (with_unit(s, durations, out) == 0)
        return 0;
    return err_set(e, ERR_INVALID,
                   "'%s' is not a duration; write a number and a unit: 250ms, 30s, 15m, 2h, 7d, 1w",
                   s);
}

int text_bytes(const char *s, int64_t *out, struct err *e)
{
    static const struct unit units[] = {{"", 1},         {"b", 1},         {"k", 1 << 10},
                                        {"kb", 1 << 10}, {"kib", 1 << 10}, {"m", 1 << 20},
                                        {"mb", 1 << 20}, {"mib", 1 << 20}, {"g", 1 << 30},
                                        {"gb", 1 << 30}, {"gib", 1 << 30}, {NULL, 0}};
    if (with_unit(s, units, out) == 0)
        return 0;
    return err_set(e, ERR_INVALID, "'%s' is not a size; write bytes or 512KB, 64MB, 1GB", s);
}

// Days since 1970-01-01 of a proleptic Gregorian date (H. Hinnant, days_from_civil).
static int64_t days_from_civil(int64_t y, unsigned m, unsigned d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    unsigned yoe = (unsigned)(y - era * 400);
    unsigned doy = (153 * (m + (m > 2 ? (unsigned)-3 : 9)) + 2) / 5 + d - 1;
    unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + (int64_t)doe - 719468;
}

static bool digits(const char *s, int n, int *out)
{
    *out = 0;
    for (int i = 0; i < n; i++) {
        if (!isdigit((unsigned char)s[i]))
            return false;
        *out = *out * 10 + (s[i] - '0');
    }
    return true;
}

// "…Z", "…+02:00" or nothing; returns false if there is anything else.
static bool zone(const char *s, int64_t *ms)
{
    int h, m;
    if (*s == 0 || strcmp(s, "Z") == 0)
        return true;
    if ((*s != '+' && *s != '-') || !digits(s + 1, 2, &h) || s[3] != ':' || !digits(s + 4, 2, &m))
        return false;
    *ms -= (*s == '+' ? 1 : -1) * (h * 60 + m) * INT64_C(60000);
    return s[6] == 0;
}

static bool clock_part(const char *s, int64_t *ms)
{
    int h, m, sec;
    if (!digits(s, 2, &h) || s[2] != ':' || !digits(s + 3, 2, &m) || s[5] != ':' ||
        !digits(s + 6, 2, &sec) || h > 23 || m > 59 || sec > 60)
        return false;
    *ms += ((h * 60 + m) * 60 + sec) * INT64_C(1000);
    s += 8;
    if (*s == '.') {
        int scale = 100;
        for (s++; isdigit((unsigned char)*s); s++, scale /= 10)
            *ms += (*s - '0') * scale;
    }
    return zone(s, ms);
}

int text_time_ms(struct slice s, int64_t *out)
{
    char t[40];
    if (s.n == 0 || s.n >= sizeof(t))
        return -1;
    memcpy(t, s.p, s.n);
    t[s.n] = 0;
    int y, m, d;
    if (digits(t, 4, &y) && t[4] == '-') {
        if (!digits(t + 5, 2, &m) || t[7] != '-' || !digits(t + 8, 2, &d) || m < 1 || m > 12 ||
            d < 1 || d > 31)
            return -1;
        *out = days_from_civil(y, (unsigned)m, (unsigned)d) * INT64_C(86400000);
        if (t[10] == 0)
            return 0;
        return (t[10] == 'T' || t[10] == ' ') && clock_part(t + 11, out) ? 0 : -1;
    }
    char *rest;
    long long v = strtoll(t, &rest, 10);
    *out = v;
    return *rest == 0 ? 0 : -1;
}

char *text_time(int64_t ms, char out[32])
{
    int64_t days = ms / 86400000, left = ms % 86400000;
    if (left < 0) {
        left += 86400000;
        days--;
    }
    // civil_from_days, the inverse of days_from_civil above.
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
    unsigned doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    unsigned d = doy - (153 * mp + 2) / 5 + 1, m = mp < 10 ? mp + 3 : mp - 9;
    long long y = (long long)yoe + era * 400 + (m <= 2);
    if (y < -9999 || y > 99999) {
        snprintf(out, 32, "%" PRId64 "ms", ms);
        return out;
    }
    snprintf(out, 32, "%04lld-%02u-%02uT%02d:%02d:%02d.%03dZ", y, m, d, (int)(left / 3600000),
             (int)(left / 60000 % 60), (int)(left / 1000 % 60), (int)(left % 1000));
    return out;
}

char *text_count(int64_t n, char out[32])
{
    char plain[32];
    int len = snprintf(plain, sizeof(plain), "%" PRId64, n), at = 0;
    for (int i = 0; i < len; i++) {
        out[at++] = plain[i];
        int left = len - 1 - i;
        if (left > 0 && left % 3 == 0 && plain[i] != '-')
            out[at++] = ',';
    }
    out[at] = 0;
    return out;
}

char *text_size(int64_t bytes, char out[32])
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
    double v = (double)bytes;
    int u = 0;
    for (; v >= 1024 && u < 4; u++)
        v /= 1024;
    snprintf(out, 32, u == 0 ? "%.0f %s" : "%.1f %s", v, units[u]);
    return out;
}

char *text_duration(int64_t ms, char out[32])
{
    const struct unit *best = &durations[0];
    for (const struct unit *u = durations; u->name != NULL; u++) {
        if (ms != 0 && ms % u->factor == 0)
            best = u;
    }
    if (strcmp(best->name, "w") == 0)
        best--;
    snprintf(out, 32, "%" PRId64 "%s", ms / best->factor, best->name);
    return out;
}
