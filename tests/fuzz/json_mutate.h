/* Mutation of JSON texts that keeps them JSON: a random member of a random node is replaced, copied
 * from elsewhere, or removed. Bytes that are no JSON, and each fourth text, are left to libFuzzer.
 */
#ifndef WIRT_TESTS_FUZZ_JSON_MUTATE_H
#define WIRT_TESTS_FUZZ_JSON_MUTATE_H

#include <json-c/json.h>
#include <string.h>

#include "fuzz.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max) __attribute__((weak));

static unsigned json_count(struct json_object *o)
{
    unsigned n = 1;
    if (json_object_is_type(o, json_type_object)) {
        json_object_object_foreach(o, key, value)
        {
            (void)key;
            n += json_count(value);
        }
    } else if (json_object_is_type(o, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(o); i++)
            n += json_count(json_object_array_get_idx(o, i));
    }
    return n;
}

static struct json_object *json_odd_value(unsigned n)
{
    static const int64_t numbers[] = {0,          1,          -1,        7,         255,
                                      65536,      INT32_MAX,  INT32_MIN, INT64_MAX, INT64_MIN,
                                      UINT32_MAX, 4294967296, 1 << 20};
    static const char *const texts[] = {"",    "/",      "..",        "../..",     "a",    "/proc",
                                        "rw",  "ro",     "*",         "\n",        "%s%n", "bind",
                                        "all", "a/../b", "/dev/null", "a\\u0000b", "0-3",  "max"};
    switch (n % 5) {
    case 0: return NULL;
    case 1: return json_object_new_int64(numbers[n / 5 % (sizeof numbers / sizeof *numbers)]);
    case 2: return json_object_new_string(texts[n / 5 % (sizeof texts / sizeof *texts)]);
    case 3: return n & 32 ? json_object_new_array() : json_object_new_object();
    default: return n & 32 ? json_object_new_boolean(n & 64) : json_object_new_double(1e300);
    }
}

/* The node that is the n-th from here on, or NULL. */
static struct json_object *json_nth(struct json_object *o, unsigned *n)
{
    struct json_object *found = NULL;
    if (!(*n)--)
        return o;
    if (json_object_is_type(o, json_type_object)) {
        json_object_object_foreach(o, key, value)
        {
            (void)key;
            if (!found && *n != UINT32_MAX)
                found = json_nth(value, n);
        }
    } else if (json_object_is_type(o, json_type_array)) {
        for (size_t i = 0; !found && i < json_object_array_length(o); i++)
            if (*n != UINT32_MAX)
                found = json_nth(json_object_array_get_idx(o, i), n);
    }
    return found;
}

static void json_change(struct json_object *root, unsigned at, unsigned from, unsigned how)
{
    struct json_object *o = json_nth(root, &at), *copy = NULL, *value;
    struct json_object *other = how % 3 ? NULL : json_nth(root, &from);
    if (other && json_object_deep_copy(other, &copy, NULL) == 0)
        value = copy;
    else
        value = json_odd_value(how / 3);
    if (json_object_is_type(o, json_type_array)) {
        size_t n = json_object_array_length(o);
        if (n && how & 256)
            json_object_array_put_idx(o, how % n, value);
        else
            json_object_array_add(o, value);
    } else if (json_object_is_type(o, json_type_object) && json_object_object_length(o)) {
        unsigned n = how % (unsigned)json_object_object_length(o);
        const char *chosen = NULL;
        json_object_object_foreach(o, key, unused)
        {
            (void)unused;
            if (!n--)
                chosen = key;
        }
        char *name = strdup(chosen); /* the object's own goes with its member */
        if (how & 1024)
            json_object_object_add(o, name, value);
        else
            json_object_object_del(o, name), json_object_put(value);
        free(name);
    } else {
        json_object_put(value);
    }
}

/* keep: bytes in front of the text that stay. */
static size_t json_mutate(uint8_t *data, size_t size, size_t max, unsigned seed, size_t keep)
{
    struct json_object *root = NULL;
    if (seed % 4 && size > keep) {
        struct json_tokener *t = json_tokener_new();
        root = json_tokener_parse_ex(t, (const char *)data + keep, (int)(size - keep));
        json_tokener_free(t);
    }
    if (!root)
        return LLVMFuzzerMutate ? LLVMFuzzerMutate(data, size, max) : size;
    unsigned n = json_count(root), r = seed / 4;
    for (unsigned i = 0; i <= seed % 3; i++, r = r * 1103515245 + 12345)
        json_change(root, r / 7 % n, r / 11 % n, r / 64);
    const char *text = json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN);
    size_t len = strlen(text);
    if (keep + len <= max) {
        memcpy(data + keep, text, len);
        size = keep + len;
    }
    json_object_put(root);
    return size;
}

#endif
