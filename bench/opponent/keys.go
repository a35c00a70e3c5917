package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
)

// key is a public key of the issuer with the one algorithm it is for.
type key struct {
	alg    string
	public any
}

func readKeys(file string) (map[string]key, error) {
	body, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var set struct {
		Keys []struct{ Kty, Kid, Crv, N, E, X, Y string }
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, err
	}
	keys := make(map[string]key)
	for _, jwk := range set.Keys {
		switch {
		case jwk.Kty == "RSA":
			public := &rsa.PublicKey{N: number(jwk.N), E: int(number(jwk.E).Int64())}
			keys[jwk.Kid] = key{"RS256", public}
		case jwk.Kty == "EC" && jwk.Crv == "P-256":
			public := &ecdsa.PublicKey{Curve: elliptic.P256(), X: number(jwk.X), Y: number(jwk.Y)}
			keys[jwk.Kid] = key{"ES256", public}
		default:
			return nil, fmt.Errorf("key %q is of a kind that this benchmark has no use for", jwk.Kid)
		}
	}
	return keys, nil
}

func number(text string) *big.Int {
	raw, _ := base64.RawURLEncoding.DecodeString(text)
	return new(big.Int).SetBytes(raw)
}
