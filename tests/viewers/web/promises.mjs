// SPDX-License-Identifier: Apache-2.0
// What the page's tests share: promises that are kept or not, one line each.

let failed = 0;

export async function promise(name, check) {
  try {
    await check();
    console.log(`ok   ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAIL ${name}: ${error.message}`);
  }
}

export function hold(condition, text) {
  if (!condition) throw new Error(text);
}

export function finish() {
  process.exit(failed ? 1 : 0);
}
