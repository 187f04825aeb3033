// What is proved of the rows of ONNX's node cases, against a list, and whether it is so.
//
//     conformance_rows CASES [--expected FILE] [--filter TEXT] [--write-expected FILE]
//
// CASES is written by tests/peers/conformance_cases.py --rows. A failure is a case whose proof is
// not the list's, to the word, or whose joined rows are not what they are apart.
#include "conformance/row_case.h"
#include "conformance/verdict_list.h"
#include "norn/norn.h"

#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    verdict_list list;
    char line[1024], text[ROW_CASE_TEXT];
    setenv("NORN_LOG", "error", 0);
    verdict_list_open(&list, argc, argv);
    FILE *cases = verdict_list_cases(&list, "cases.tsv");
    while (fgets(line, sizeof line, cases)) {
        line[strcspn(line, "\t\n")] = '\0';
        if (list.filter && !strstr(line, list.filter)) continue;
        const norn_status status = row_case_run(list.dir, line, text);
        verdict_list_take(&list, line, text, status == NORN_OK ? NULL : norn_message());
    }
    fclose(cases);
    return verdict_list_close(&list);
}
