"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer;

function element(tag, parent, content = "", className = "") {
  const made = parent.appendChild(document.createElement(tag));
  made.textContent = content;  // never HTML: any text is just text
  if (className) made.className = className;
  return made;
}

function glyph(c) {  // something to see for every character
  const code = c.codePointAt(0);
  if (c === "\n") return "↵";
  if (c === "\t") return "⇥";
  if (code < 32) return String.fromCodePoint(0x2400 + code);
  if (code === 127) return "␡";
  if (/\p{M}/u.test(c)) return "◌" + c;
  return c !== " " && /[\p{C}\p{Z}]/u.test(c) ? "U+" + code.toString(16).toUpperCase().padStart(4, "0") : c;
}

function switchTheme() {
  const root = document.documentElement.style;
  const dark = (root.colorScheme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  root.colorScheme = dark ? "light" : "dark";
}

$("theme").addEventListener("click", switchTheme);
document.title = data.title;
document.querySelector("h1").textContent = data.title;
$("about").textContent = data.about;
