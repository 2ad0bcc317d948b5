// Signs in to a demo as its owner by the link that it prints, buys two copies as a shopper, and has Lighthouse look at
// pages of the console. Writes a report for each page; fails when a score is below 100.

import { writeFileSync } from "node:fs";
import lighthouse from "lighthouse";
import puppeteer from "puppeteer-core";

const [shop, enter, chromium, reports] = process.argv.slice(2);
const password = "Correct-Horse-1";
const categories = ["accessibility", "best-practices"];

const browser = await puppeteer.launch({ executablePath: chromium, args: ["--no-sandbox", "--no-proxy-server"] });
try {
  await buy();
  const page = await browser.newPage();
  await open(page, enter);
  await page.type("input[type=password]", password);
  await submit(page, "main form button");

  const targets = [
    ["today", "/admin"],
    ["orders", "/admin/orders"],
    ["order", await first(page, "/admin/orders")],
    ["catalogue", "/admin/catalogue"],
    ["game", await first(page, "/admin/catalogue")],
  ];
  let worst = 100;
  for (const [name, path] of targets) {
    const answer = await lighthouse(
      shop + path,
      { onlyCategories: categories, disableStorageReset: true, output: "html", logLevel: "error" },
      undefined,
      page,
    );
    writeFileSync(`${reports}/${name}.html`, answer.report);
    for (const category of categories) {
      const { score, auditRefs } = answer.lhr.categories[category];
      // A page that could not be judged has no score.
      const points = Math.round((score ?? 0) * 100);
      worst = Math.min(worst, points);
      console.log(`${name.padEnd(10)} ${category.padEnd(15)} ${points}  ${answer.lhr.finalDisplayedUrl}`);
      for (const { id, weight } of auditRefs) {
        const audit = answer.lhr.audits[id];
        if (weight > 0 && audit.score !== null && audit.score < 1) {
          console.log(`  ${id}: ${audit.title}`);
          for (const item of audit.details?.items ?? []) {
            console.log(`    ${item.node?.snippet ?? item.description ?? item.url ?? ""}`);
          }
        }
      }
    }
    if (new URL(answer.lhr.finalDisplayedUrl).pathname !== path) {
      throw new Error(`${path} leads to ${answer.lhr.finalDisplayedUrl}`);
    }
  }
  process.exitCode = worst === 100 ? 0 : 1;
} finally {
  await browser.close();
}

// A shopper of their own session registers, and pays directly for one copy, so that there is an order.
async function buy() {
  const shopper = await browser.createBrowserContext();
  const page = await shopper.newPage();
  await open(page, `${shop}/register`);
  await page.type("#email", "quill@example.org");
  await page.type("#password", password);
  await submit(page, "main form button");
  const games = await (await fetch(`${shop}/api/games?pageSize=20`)).json();
  const game = games.data.data.find((game) => game.inStock && !game.isPreorder) ?? games.data.data[0];
  await page.evaluate(
    (id) => fetch("/cart/add", { method: "POST", body: new URLSearchParams({ game: id }) }),
    game.id,
  );
  await open(page, `${shop}/checkout`);
  const consent = await page.$("input[name=consent]");
  await consent?.click();
  // It leads over a page of the shop to the sandbox's page of cards.
  await page.click("form[method=post] button.whole");
  await page.waitForSelector("input[name=card]");
  await page.click("form[method=post] button");
  await page.waitForFunction(() => location.pathname.startsWith("/orders/"), { timeout: 60_000 });
  await shopper.close();
}

async function open(page, address) {
  const answer = await page.goto(address);
  if (!answer.ok()) {
    throw new Error(`${address} answers ${answer.status()}`);
  }
}

async function submit(page, button) {
  await Promise.all([page.waitForNavigation(), page.click(button)]);
}

// The page that the first row of a list leads to.
async function first(page, list) {
  await open(page, shop + list);
  const link = await page.waitForSelector("tr.leads a[href]");
  return link.evaluate((link) => new URL(link.href).pathname);
}
