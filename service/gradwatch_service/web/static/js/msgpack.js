// MessagePack as the API writes it: maps, lists, text, bytes, numbers; no extensions.

const TEXT = new TextDecoder();
const NUMBERS = {
  0xca: ["getFloat32", 4], 0xcb: ["getFloat64", 8], 0xcc: ["getUint8", 1], 0xcd: ["getUint16", 2],
  0xce: ["getUint32", 4], 0xcf: ["getBigUint64", 8], 0xd0: ["getInt8", 1], 0xd1: ["getInt16", 2],
  0xd2: ["getInt32", 4], 0xd3: ["getBigInt64", 8],
};
const WORDS = new Map([[0xc0, null], [0xc2, false], [0xc3, true]]);
// first byte -> what follows the length, and how many bytes the length has
const LONG = {
  0xc4: ["bytes", 1], 0xc5: ["bytes", 2], 0xc6: ["bytes", 4], 0xd9: ["text", 1], 0xda: ["text", 2],
  0xdb: ["text", 4], 0xdc: ["list", 2], 0xdd: ["list", 4], 0xde: ["map", 2], 0xdf: ["map", 4],
};

class Reader {
  constructor(buffer) {
    this.buffer = buffer;
    this.view = new DataView(buffer);
    this.at = 0;
  }

  number(read, size) {
    const found = this.view[read](this.at);
    this.at += size;
    return Number(found);
  }

  value() {
    const head = this.view.getUint8(this.at++);
    if (head < 0x80) return head;
    if (head >= 0xe0) return head - 0x100;
    if (head < 0x90) return this.map(head & 0x0f);
    if (head < 0xa0) return this.list(head & 0x0f);
    if (head < 0xc0) return this.text(head & 0x1f);
    if (WORDS.has(head)) return WORDS.get(head);
    if (head in NUMBERS) return this.number(...NUMBERS[head]);
    if (!(head in LONG)) throw new Error(`no MessagePack of ours: 0x${head.toString(16)}`);
    const [kind, size] = LONG[head];
    return this[kind](this.number(`getUint${8 * size}`, size));
  }

  bytes(length) {
    this.at += length;
    return this.buffer.slice(this.at - length, this.at);
  }

  text(length) {
    return TEXT.decode(new Uint8Array(this.buffer, (this.at += length) - length, length));
  }

  list(length) {
    return Array.from({ length }, () => this.value());
  }

  map(length) {
    return Object.fromEntries(Array.from({ length }, () => [this.value(), this.value()]));
  }
}

/** Decode one value; packed arrays come as ArrayBuffers. */
export function decode(buffer) {
  return new Reader(buffer).value();
}
