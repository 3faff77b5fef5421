package event

import "strings"

const upperHex = "0123456789ABCDEF"

// percentEncode encodes a header value as the CloudEvents HTTP protocol binding,
// section 3.1.3.2, says and the NATS binding adopts: space, double quote, percent
// and everything outside printable ASCII.
func percentEncode(s string) string {
	clean := true
	for i := range len(s) {
		if mustEncode(s[i]) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	for i := range len(s) {
		c := s[i]
		if mustEncode(c) {
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

func mustEncode(c byte) bool {
	return c <= ' ' || c == '"' || c == '%' || c >= 0x7f
}

// percentDecode undoes percentEncode. It is lenient, since not every producer
// encodes: a percent sign that no two hexadecimal digits follow stands for itself.
func percentDecode(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi < 16 && lo < 16 {
				b = append(b, hi<<4|lo)
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	default:
		return 16
	}
}
