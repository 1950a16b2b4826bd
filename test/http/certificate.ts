/**
 * A certificate for localhost and 127.0.0.1 that nobody trusts, for the tests only; valid until 2126.
 *
 * Made with `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 36500 -nodes -subj /CN=localhost
 * -addext subjectAltName=DNS:localhost,IP:127.0.0.1`.
 */
export const certificate = `-----BEGIN CERTIFICATE-----
MIIBnDCCAUGgAwIBAgIUKRl5ND2AjC2Le6z2O9SN2Ase1MkwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMjEyNDQwNFoYDzIxMjYxMDI5
MTI0NDA0WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATS8OwL/c77te1fK3KjSVhjVQRuG/ShYkbB3ndEDGiIHq7wFIzGphnm
bDGHfVdm5teIVTtzP/AVUmHhTdSHSJrMo28wbTAdBgNVHQ4EFgQUiZ8Q6cNzhBsd
GOqax20yXSukZhAwHwYDVR0jBBgwFoAUiZ8Q6cNzhBsdGOqax20yXSukZhAwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSQAwRgIhAIMtQho1r0M875dc1o6f6wCrOnJ1hLm1BH3K0wM7eeCPAiEA
sDOFqOByCuAuc0QwgikbxxoFH7JWKKh8mu3b6UPS848=
-----END CERTIFICATE-----`;

export const privateKey = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgSh2ZnVB+xRs1xrSY
wUaasoKtt1Y5XAOJmItIquKkxHyhRANCAATS8OwL/c77te1fK3KjSVhjVQRuG/Sh
YkbB3ndEDGiIHq7wFIzGphnmbDGHfVdm5teIVTtzP/AVUmHhTdSHSJrM
-----END PRIVATE KEY-----`;
