/*
 * A small fuzzer led by coverage, for compilers without libFuzzer: gcc -fsanitize-coverage=trace-pc,trace-cmp calls the
 * functions below at every edge and comparison of the code under test. An input that reaches an edge which none reached
 * before, or reaches one many times more often, is kept and changed further; numbers that were compared are put where
 * their counterpart stands. Takes the options of libFuzzer that the Makefile gives.
 */
#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size);
void __sanitizer_set_death_callback(void (*callback)(void));

enum { EDGES = 1 << 16, PAIRS = 1 << 10, MAX_SIZE = 1 << 12, MAX_INPUTS = 1 << 14, HANGS_AFTER = 10 };

typedef struct {
    unsigned char *bytes;
    size_t size;
} input;

typedef struct {
    uint64_t one, other;
    size_t size;
} pair;

static uint8_t hits[EDGES], seen[EDGES];
static pair compared[PAIRS];
static size_t n_compared;
static uintptr_t edge_before;

static input corpus[MAX_INPUTS], current;
static size_t n_inputs;
static volatile unsigned long executions;
static unsigned long executions_before;
static int seconds_without;
static uint64_t state = 1;
static const char *folder, *crash = "crash";

/* ---- what the code under test calls ---- */

void __sanitizer_cov_trace_pc(void)
{
    const uintptr_t at = (uintptr_t)__builtin_return_address(0) - (uintptr_t)&LLVMFuzzerTestOneInput;
    uint8_t *hit = hits + ((at ^ edge_before) * 0x9E3779B97F4A7C15u >> 48) % EDGES;
    *hit = (uint8_t)(*hit + (*hit < 255));
    edge_before = at >> 1;
}

static void note(uint64_t one, uint64_t other, size_t size)
{
    if (one != other) {
        compared[n_compared++ % PAIRS] = (pair){one, other, size};
    }
}

#define TRACE(name, type)                              \
    void name(type one, type other);                   \
    void name(type one, type other)                    \
    {                                                  \
        note(one, other, sizeof(type));                \
    }

TRACE(__sanitizer_cov_trace_cmp1, uint8_t)
TRACE(__sanitizer_cov_trace_cmp2, uint16_t)
TRACE(__sanitizer_cov_trace_cmp4, uint32_t)
TRACE(__sanitizer_cov_trace_cmp8, uint64_t)
TRACE(__sanitizer_cov_trace_const_cmp1, uint8_t)
TRACE(__sanitizer_cov_trace_const_cmp2, uint16_t)
TRACE(__sanitizer_cov_trace_const_cmp4, uint32_t)
TRACE(__sanitizer_cov_trace_const_cmp8, uint64_t)

void __sanitizer_cov_trace_cmpf(float one, float other);
void __sanitizer_cov_trace_cmpf(float one, float other)
{
    (void)one, (void)other;
}

void __sanitizer_cov_trace_cmpd(double one, double other);
void __sanitizer_cov_trace_cmpd(double one, double other)
{
    (void)one, (void)other;
}

void __sanitizer_cov_trace_switch(uint64_t value, uint64_t *cases);
void __sanitizer_cov_trace_switch(uint64_t value, uint64_t *cases)
{
    for (uint64_t at = 0; at < cases[0]; at++) {
        note(value, cases[2 + at], (size_t)cases[1] / 8);
    }
}

void __sanitizer_cov_trace_pc(void);

/* ---- what goes wrong ---- */

static void keep_crash(void)
{
    FILE *file = fopen(crash, "wb");
    if (file != NULL) {
        fwrite(current.bytes, 1, current.size, file);
        fclose(file);
        fprintf(stderr, "the input is in %s, found after %lu executions\n", crash, executions);
    }
}

static void on_abort(int number)
{
    (void)number;
    keep_crash();
    _exit(1);
}

/* Once a second: an input that is still the same after some seconds hangs. */
static void on_tick(int number)
{
    (void)number;
    seconds_without = executions == executions_before ? seconds_without + 1 : 0;
    executions_before = executions;
    if (seconds_without >= HANGS_AFTER) {
        fputs("an input hangs\n", stderr);
        on_abort(0);
    }
    alarm(1);
}

/* ---- inputs ---- */

static uint64_t draw(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
}

/* Counts in steps, as AFL has them: once, twice, 3, 4, 8, 16, 32, 128 times. */
static uint8_t step_of(uint8_t count)
{
    static const uint8_t ends[] = {1, 2, 3, 4, 8, 16, 32, 128};
    uint8_t step = 0;
    while (step < sizeof ends && count >= ends[step]) {
        step++;
    }
    return (uint8_t)(count == 0 ? 0 : 1u << (step - 1));
}

/* Run the current input; whether it reached what none did before. */
static int run(void)
{
    int is_new = 0;
    memset(hits, 0, sizeof hits);
    edge_before = 0;
    LLVMFuzzerTestOneInput(current.bytes, current.size);
    executions++;
    for (size_t word = 0; word < EDGES; word += 8) {
        uint64_t any;
        memcpy(&any, hits + word, sizeof any);
        for (size_t edge = word; any != 0 && edge < word + 8; edge++) {
            const uint8_t step = step_of(hits[edge]);
            is_new |= (step & ~seen[edge]) != 0;
            seen[edge] = (uint8_t)(seen[edge] | step);
        }
    }
    return is_new;
}

static void keep(int on_disk)
{
    if (n_inputs == MAX_INPUTS) {
        return;
    }
    input *kept = corpus + n_inputs++;
    *kept = (input){malloc(current.size + 1), current.size};
    if (kept->bytes == NULL) {
        abort();
    }
    memcpy(kept->bytes, current.bytes, current.size);
    if (on_disk) {
        char path[4096];
        snprintf(path, sizeof path, "%s/found-%05zu", folder, n_inputs);
        FILE *file = fopen(path, "wb");
        if (file != NULL) {
            fwrite(kept->bytes, 1, kept->size, file);
            fclose(file);
        }
    }
}

/* Make a file the current input; 0 where it is none. */
static int read_input(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file != NULL) {
        current.size = fread(current.bytes, 1, MAX_SIZE, file);
        fclose(file);
    }
    return file != NULL;
}

static void read_seeds(DIR *files)
{
    for (struct dirent *each = files ? readdir(files) : NULL; each != NULL; each = readdir(files)) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, each->d_name);
        if (each->d_name[0] != '.' && read_input(path)) {
            run();
            keep(0);
        }
    }
    if (n_inputs == 0) {
        current.size = 0;
        keep(0);
    }
}

/* ---- changes ---- */

/* Put bytes in the place of others: `gone` bytes at a place make room for `size`. */
static void replace(size_t at, size_t gone, const unsigned char *with, size_t size)
{
    if (current.size - gone + size <= MAX_SIZE) {
        memmove(current.bytes + at + size, current.bytes + at + gone, current.size - at - gone);
        memcpy(current.bytes + at, with, size);
        current.size = current.size - gone + size;
    }
}

static void put_word(void)
{
    static const char *const words[] = {"PK\x01\x02", "PK\x03\x04", "PK\x05\x06", "\x93NUMPY\x01", "\x93NUMPY\x02",
                                        "image_g", "image_r.npy", "image_z.npy", "mask", "psf", "invvar_g",
                                        "{'descr': '<f4", "', 'fortran_order': False, 'shape': (", "True", ", ", "), }",
                                        "<f8", ">f4", "|u1", "=i2", ">u8", "<f2", "999999999", "0"};
    const char *word = words[draw(sizeof words / sizeof *words)];
    const size_t size = strlen(word), at = draw(current.size + 1);
    const size_t gone = draw(2) && at + size <= current.size ? size : 0;
    replace(at, gone, (const unsigned char *)word, size);
}

static void put_number(void)
{
    static const uint64_t numbers[] = {0, 1, 2, 8, 9, 16, 22, 30, 46, 127, 128, 255, 256, 32767, 32768, 65535, 65536,
                                       0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
    const size_t size = (size_t)1 << draw(3);
    if (current.size >= size) {
        const size_t at = draw(current.size - size + 1);
        uint64_t number = numbers[draw(sizeof numbers / sizeof *numbers)];
        if (draw(2)) {
            memcpy(&number, current.bytes + at, size);
            number += draw(2) ? draw(40) : 0 - draw(40);
        }
        memcpy(current.bytes + at, &number, size);
    }
}

/* Where one side of a comparison stands in the input, put the other. */
static void put_compared(void)
{
    const size_t count = n_compared < PAIRS ? n_compared : PAIRS;
    if (count == 0) {
        return;
    }
    pair found = compared[draw(count)];
    if (draw(2)) {
        found = (pair){found.other, found.one, found.size};
    }
    const size_t size = found.size > 2 && found.one < 0x10000 && found.other < 0x10000 ? 2 : found.size;
    if (current.size < size) {
        return;
    }
    const size_t places = current.size - size + 1, first = draw(places);
    for (size_t at = 0; at < places; at++) {
        unsigned char *place = current.bytes + (first + at) % places;
        if (memcmp(place, &found.one, size) == 0) {
            memcpy(place, &found.other, size);
            return;
        }
    }
}

/* Bytes of another input, or of this one, copied over or in between. */
static void splice(void)
{
    const input *other = corpus + draw(n_inputs);
    if (other->size > 0) {
        static unsigned char part[MAX_SIZE];
        const size_t from = draw(other->size), size = 1 + draw(other->size - from), at = draw(current.size + 1);
        const size_t gone = draw(2) ? (size < current.size - at ? size : current.size - at) : 0;
        memcpy(part, other->bytes + from, size);
        replace(at, gone, part, size);
    }
}

static void change(void)
{
    switch (draw(8)) {
    case 0:
        put_word();
        break;
    case 1:
        put_number();
        break;
    case 2:
    case 3:
        put_compared();
        break;
    case 4:
        splice();
        break;
    case 5:
        if (current.size > 0) {
            const size_t at = draw(current.size), most = current.size - at;
            replace(at, 1 + draw(most < 16 || draw(4) == 0 ? most : 16), (const unsigned char *)"", 0);
        }
        break;
    default:
        if (current.size > 0) {
            unsigned char *byte = current.bytes + draw(current.size);
            *byte = (unsigned char)(draw(2) ? *byte ^ 1u << draw(8) : draw(256));
        }
    }
}

static void report(time_t began)
{
    size_t edges = 0, bytes = 0;
    for (size_t edge = 0; edge < EDGES; edge++) {
        edges += seen[edge] != 0;
    }
    for (size_t at = 0; at < n_inputs; at++) {
        bytes += corpus[at].size;
    }
    printf("%lu executions in %ld s, %zu edges, %zu inputs of %zu bytes\n", executions, (long)(time(NULL) - began), edges,
           n_inputs, bytes);
}

int main(int count, char **arguments)
{
    unsigned long runs = 0, seconds = 0;
    static unsigned char memory[MAX_SIZE + 1];
    current.bytes = memory;
    for (int at = 1; at < count; at++) {
        if (sscanf(arguments[at], "-runs=%lu", &runs) == 1 || sscanf(arguments[at], "-max_total_time=%lu", &seconds) == 1 ||
            sscanf(arguments[at], "-seed=%lu", &state) == 1) {
            continue;
        }
        if (strncmp(arguments[at], "-exact_artifact_path=", 21) == 0) {
            crash = arguments[at] + 21;
        } else if (arguments[at][0] != '-') {
            folder = arguments[at];
        }
    }
    state += state == 0;
    signal(SIGABRT, on_abort);
    signal(SIGALRM, on_tick);
    __sanitizer_set_death_callback(keep_crash);
    alarm(1);
    const time_t began = time(NULL);
    DIR *files = folder == NULL ? NULL : opendir(folder);
    if (folder != NULL && files == NULL) {
        return read_input(folder) ? (run(), 0) : 2;
    }
    read_seeds(files);
    if (files != NULL) {
        closedir(files);
    }
    while ((runs == 0 || executions < runs) && (seconds == 0 || time(NULL) - began < (time_t)seconds)) {
        const input *parent = corpus + (draw(2) ? draw(n_inputs) : n_inputs - 1 - draw(n_inputs < 16 ? n_inputs : 16));
        memcpy(current.bytes, parent->bytes, parent->size);
        current.size = parent->size;
        for (uint64_t changes = 1 + draw(1u << draw(5)); changes > 0; changes--) {
            change();
        }
        if (run()) {
            keep(folder != NULL);
        }
    }
    alarm(0);
    report(began);
    return 0;
}
