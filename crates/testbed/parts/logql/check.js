// Parses queries by Grafana's grammar of LogQL. In: on standard input a JSON list of queries. Out: for each that is no LogQL a line
// with the place where it goes wrong, and exit status 1.
import { readFileSync } from "node:fs";
import { parser } from "@grafana/lezer-logql";

for (const query of JSON.parse(readFileSync(0, "utf8"))) {
  parser.parse(query).iterate({
    enter(node) {
      if (node.type.isError) {
        console.log(`${query}: not LogQL at ${node.from}: ${query.slice(node.from, node.from + 20)}`);
        process.exitCode = 1;
      }
    },
  });
}
