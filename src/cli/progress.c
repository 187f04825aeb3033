#include "base/clock.h"
#include "cli/options.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BAR = 30, DRAW_MS = 100 };

static bool drawn;

/// What is being transferred, since when and from where.
static struct {
    char what[64];
    int64_t begun_ns, drawn_ns;
    uint64_t from;
} transfer;

static void draw_bar(double fraction) {
    const int filled = (int)(fraction * BAR + 0.5);
    fprintf(stderr, "\r\033[K[%.*s%*s] %3.0f %%  ", filled, "##############################",
            BAR - filled, "", 100 * fraction);
}

void cli_progress(void *context, const char *what, double fraction) {
    (void)context;
    if (!isatty(STDERR_FILENO)) return;
    draw_bar(fraction);
    fprintf(stderr, "%.60s", what);
    fflush(stderr);
    drawn = true;
}

static void begin_transfer(const char *what, uint64_t done, int64_t now_ns) {
    (void)snprintf(transfer.what, sizeof transfer.what, "%s", what);
    transfer.begun_ns = now_ns;
    transfer.drawn_ns = 0;
    transfer.from = done;
}

void cli_transfer(void *context, const char *what, uint64_t done, uint64_t total) {
    const int64_t now_ns = norn_clock_now_ns();
    (void)context;
    if (!isatty(STDERR_FILENO)) return;
    if (strncmp(what, transfer.what, sizeof transfer.what - 1) != 0)
        begin_transfer(what, done, now_ns);
    if (now_ns - transfer.drawn_ns < (int64_t)DRAW_MS * 1000000 && done != total) return;
    transfer.drawn_ns = now_ns;
    const double seconds = (double)(now_ns - transfer.begun_ns) / 1e9;
    const double rate = seconds > 0 ? (double)(done - transfer.from) / seconds : 0;
    if (total)
        draw_bar(done < total ? (double)done / (double)total : 1);
    else
        fprintf(stderr, "\r\033[K");
    fprintf(stderr, "%.40s  %.1f MB", transfer.what, (double)done / 1e6);
    if (rate > 0) fprintf(stderr, ", %.1f MB/s", rate / 1e6);
    if (rate > 0 && total > done) fprintf(stderr, ", %.0f s left", (double)(total - done) / rate);
    fflush(stderr);
    drawn = true;
}

void cli_progress_end(void) {
    if (drawn) fprintf(stderr, "\r\033[K");
    drawn = false;
    transfer.what[0] = 0;
}
