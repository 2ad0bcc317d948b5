// Makes table.json: what the libraries of the existing shop store for addresses and passwords.
//
//   npm install validator@13.15.35 bcrypt@6.0.0 bcryptjs@3.0.3 bcryptjs2@npm:bcryptjs@2.4.3
//   node make.js > table.json
"use strict";
const fs = require("node:fs");
const validator = require("validator");
const hashers = { bcrypt: require("bcrypt"), bcryptjs: require("bcryptjs"), "bcryptjs-2": require("bcryptjs2") };

const version = (folder) => JSON.parse(fs.readFileSync(`node_modules/${folder}/package.json`, "utf8")).version;

const addresses = [
  "Ada@Example.COM", "a.d.a+shop@gmail.com", "A.D.A+x@GoogleMail.com", "ada.b+x@outlook.com", "Ada+x@hotmail.co.uk",
  "ada+x@live.nl", "ada+x@msn.com", "ada+x@icloud.com", "ada+x@me.com", "ada+x@mac.com", "ada-shop@yahoo.com",
  "ada-b-shop@ymail.com", "ada+x@yahoo.co.uk", "Ada.B+x@ya.ru", "Ada.B+x@yandex.com", "Ada.B+x@example.com",
  "ada+x@hotmail.example", "o'neil_{1}@sub.example.co.uk", "User@M\u00fcnchen.de", "user@xn--mnchen-3ya.de",
  "J\u00d6RG@example.com", "\u0130stanbul@example.com", "stra\u00dfe@example.com", "\"Ada Lovelace\"@Example.com",
  "\"a@b\"@example.com", "\"a\\\"b\"@example.com", "\"\"@example.com", "a.+c@hotmail.com", "a.@hotmail.com", "a.@example.com",
  "+c@hotmail.com", ".+c@gmail.com", "-c@yahoo.com", "a.-c@yahoo.com", "\u0430\u0434\u0430@\u043f\u0440\u0438\u043c\u0435\u0440.\u0440\u0444",
  "\u5f20\u4f1f@\u4f8b\u5b50.\u4e2d\u56fd", "ada@\uff45xample.com", "a\u0308da@example.com", "\u00e4da@example.com", "ada@exa_mple.com",
  "ada@example", "ada@127.0.0.1", "ada@[127.0.0.1]", "a..b@example.com", "a b@example.com", "Ada <ada@example.com>",
  "ada@example.com.", "ada@-example.com", "\ud83d\ude00@example.com", "ada@\ud83d\ude00.example.com", "\u00abada\u00bb@example.com",
  `${"a".repeat(64)}@example.com`, `${"a".repeat(65)}@example.com`, `${"\u00e9".repeat(32)}@example.com`,
  `${"\u00e9".repeat(33)}@example.com`,
];

const passwords = {
  plain: "Correct7Horse",
  "72 bytes": "Ab1" + "x".repeat(69),
  "73 bytes": "Ab1" + "x".repeat(70),
  "200 bytes": "Ab1" + "x".repeat(197),
  "two bytes, cut in the middle": "Ab1" + "\u00e9".repeat(40),
  "three bytes, cut after one": "Ab1xxxx" + "\u20ac".repeat(30),
  "three bytes, cut after two": "Ab1xxx" + "\u20ac".repeat(30),
  "four bytes, cut after one": "Ab1xxxx" + "\ud83d\ude00".repeat(20),
  "four bytes, cut after three": "Ab1xx" + "\ud83d\ude00".repeat(20),
  "accents apart": "Zu\u0308rich-2027",
  "accents apart over the cut": "Ab1x" + "u\u0308".repeat(40),
  "wide spaces": "Pass\u00a0word\u3000 7x",
  "an emoji with a joiner": "Ab1xxxxx\ud83d\udc68\u200d\ud83d\udc69",
};

const rows = [];
for (const [name, hasher] of Object.entries(hashers)) {
  for (const [what, password] of Object.entries(passwords)) {
    rows.push({ library: name, what, password, hash: hasher.hashSync(password, 4) });
  }
}
const table = {
  date: new Date().toISOString().slice(0, 10),
  node: process.versions.node,
  validator: version("validator"),
  bcrypt: version("bcrypt"),
  bcryptjs: version("bcryptjs"),
  "bcryptjs-2": version("bcryptjs2"),
  addresses: addresses.map((typed) => ({
    typed,
    // `false` of normalizeEmail: nothing is left.
    stored: validator.isEmail(typed) ? validator.normalizeEmail(typed) || null : null,
  })),
  passwords: rows,
};
process.stdout.write(JSON.stringify(table, null, 1) + "\n");
