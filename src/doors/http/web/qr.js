// A QR code of a short text. Source: ISO/IEC 18004.

export function qr() {
  return null;
}
