// Command opponent is what a Go programmer would write for the same task, to measure ours against: nats-io/jwt, nkeys,
// nats.go and golang-jwt as they are meant to be used, a goroutine a request, one JSON line a decision.
//
// It makes every check that our responder makes in config mode, keeps its keys parsed, and grants the same permissions.
// Frozen: written before anything of ours was tuned, and not slowed down or sped up since.
//
// It reads the same variables as ours: NATS_URL, NATS_ACCOUNT, NATS_CREDS_FILE and NATS_SIGNING_KEY_FILE (bare seeds),
// JWKS_FILE, SERVICE_ACCOUNTS_DIR (JSON lists), JWT_ISSUER, JWT_AUDIENCE.
package main

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"
	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

const (
	maxTokenBytes = 16 << 10
	clockSkew     = 30 * time.Second
	maxLifetime   = 24 * time.Hour
	maxSession    = time.Hour
	patience      = 1400 * time.Millisecond
)

var (
	label     = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)
	subdomain = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$`)
)

// keptKey is an nkeys.KeyPair that keeps its private key: the library's own makes it from the seed at each signature.
type keptKey struct {
	nkeys.KeyPair
	public  string
	private ed25519.PrivateKey
}

func (k *keptKey) PublicKey() (string, error)        { return k.public, nil }
func (k *keptKey) Sign(input []byte) ([]byte, error) { return ed25519.Sign(k.private, input), nil }

func keep(seed string) (*keptKey, error) {
	pair, err := nkeys.FromSeed([]byte(seed))
	if err != nil {
		return nil, err
	}
	public, err := pair.PublicKey()
	if err != nil {
		return nil, err
	}
	_, raw, err := nkeys.DecodeSeed([]byte(seed))
	if err != nil {
		return nil, err
	}
	return &keptKey{pair, public, ed25519.NewKeyFromSeed(raw)}, nil
}

type claims struct {
	gojwt.RegisteredClaims
	Kubernetes struct {
		Namespace      string             `json:"namespace"`
		ServiceAccount reference          `json:"serviceaccount"`
		Pod            *reference         `json:"pod"`
		WarnAfter      *gojwt.NumericDate `json:"warnafter"`
	} `json:"kubernetes.io"`
}

type reference struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
}

type serviceAccount struct {
	UID       string
	Publish   []string
	Subscribe []string
}

type responder struct {
	account  string
	issuers  []string
	audience string
	signer   *keptKey
	keys     map[string]key
	accounts map[string]serviceAccount
	parser   *gojwt.Parser
	log      *slog.Logger
	allowed  atomic.Int64
	denied   atomic.Int64
	dropped  atomic.Int64
	inFlight atomic.Int64
}

// refusal is a denial with its reason; the reason is for our log only.
type refusal struct{ reason, detail string }

func (r refusal) Error() string { return r.reason }

type workload struct{ namespace, name, uid, pod, jti string }

func (w workload) username() string { return "system:serviceaccount:" + w.namespace + ":" + w.name }

func (r *responder) handle(message *nats.Msg, received time.Time) {
	r.inFlight.Add(1)
	defer r.inFlight.Add(-1)
	request, err := r.open(message)
	if err != nil {
		r.dropped.Add(1)
		r.log.Warn("dropped", "reason", "malformed_request", "detail", err.Error())
		return
	}
	who, expires, err := r.authenticate(request, time.Now())
	var answer string
	if err == nil {
		answer, err = r.allow(request, who, expires)
	}
	if err != nil {
		answer, _ = r.respond(request, "", "not authorized")
	}
	if time.Since(received) > patience {
		r.dropped.Add(1)
		r.log.Warn("dropped", "reason", "late")
		return
	}
	if sent := message.Respond([]byte(answer)); sent != nil {
		r.log.Error("answer not sent", "error", sent.Error())
		return
	}
	r.record(request, who, expires, err, time.Since(received))
}

// open checks that a server has asked, and asked us.
func (r *responder) open(message *nats.Msg) (*jwt.AuthorizationRequestClaims, error) {
	if message.Reply == "" {
		return nil, errors.New("no reply subject")
	}
	// Decode verifies the signature by the key in `iss`, which must be a server's.
	request, err := jwt.DecodeAuthorizationRequestClaims(string(message.Data))
	if err != nil {
		return nil, err
	}
	results := jwt.CreateValidationResults()
	request.Validate(results)
	switch {
	case results.IsBlocking(false):
		return nil, errors.New("invalid claims")
	case request.Audience != "nats-authorization-request":
		return nil, errors.New("another audience")
	case request.Issuer != request.Server.ID:
		return nil, errors.New("not signed by the server it names")
	case request.Subject != r.signer.public:
		return nil, errors.New("an answer by somebody else is wanted")
	case time.Now().Unix() > request.Expires+int64(clockSkew.Seconds()):
		return nil, errors.New("late")
	}
	return request, nil
}

func (r *responder) authenticate(request *jwt.AuthorizationRequestClaims, now time.Time) (workload, int64, error) {
	token := request.ConnectOptions.Token
	if token == "" {
		token = request.ConnectOptions.Password
	}
	if strings.TrimSpace(token) == "" {
		return workload{}, 0, refusal{"no_token", ""}
	}
	if len(token) > maxTokenBytes {
		return workload{}, 0, refusal{"token_too_large", fmt.Sprint(len(token))}
	}
	var found claims
	if _, err := r.parser.ParseWithClaims(token, &found, r.findKey); err != nil {
		return workload{}, 0, asRefusal(err)
	}
	who, err := r.identify(&found, now)
	if err != nil {
		return who, 0, err
	}
	account, known := r.accounts[who.namespace+"/"+who.name]
	if !known {
		return who, 0, refusal{"unknown_service_account", ""}
	}
	if account.UID != who.uid {
		return who, 0, refusal{"uid_mismatch", ""}
	}
	return who, sessionEnd(found.ExpiresAt.Unix(), request.UserNkey, now), nil
}

func (r *responder) findKey(token *gojwt.Token) (any, error) {
	if _, critical := token.Header["crit"]; critical {
		return nil, refusal{"unsupported_algorithm", "crit"}
	}
	kid, _ := token.Header["kid"].(string)
	found, known := r.keys[kid]
	if !known {
		return nil, refusal{"unknown_key", kid}
	}
	if found.alg != token.Method.Alg() {
		return nil, refusal{"unsupported_algorithm", token.Method.Alg()}
	}
	return found.public, nil
}

func asRefusal(err error) error {
	var own refusal
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, gojwt.ErrTokenExpired):
		return refusal{"expired", ""}
	case errors.Is(err, gojwt.ErrTokenNotValidYet), errors.Is(err, gojwt.ErrTokenUsedBeforeIssued):
		return refusal{"not_yet_valid", ""}
	case errors.Is(err, gojwt.ErrTokenInvalidAudience):
		return refusal{"wrong_audience", ""}
	case errors.Is(err, gojwt.ErrTokenMalformed):
		return refusal{"malformed_token", ""}
	}
	return refusal{"bad_signature", ""}
}

// identify checks the claims that the parser has not, and returns the one workload they agree on.
func (r *responder) identify(found *claims, now time.Time) (workload, error) {
	kubernetes := &found.Kubernetes
	who := workload{kubernetes.Namespace, kubernetes.ServiceAccount.Name, kubernetes.ServiceAccount.UID, "", found.ID}
	if kubernetes.Pod != nil {
		who.pod = kubernetes.Pod.Name
	}
	switch {
	case !slices.Contains(r.issuers, found.Issuer):
		return who, refusal{"wrong_issuer", found.Issuer}
	case !label.MatchString(who.namespace), len(who.name) > 253, !subdomain.MatchString(who.name):
		return who, refusal{"bad_claims", "not a Kubernetes name"}
	case who.uid == "" || len(who.uid) > 128:
		return who, refusal{"bad_claims", "no uid"}
	case found.Subject != who.username():
		return who, refusal{"bad_claims", "sub disagrees with kubernetes.io"}
	case found.IssuedAt == nil || found.NotBefore == nil:
		return who, refusal{"bad_claims", "nbf or iat is missing"}
	case !found.ExpiresAt.After(now):
		return who, refusal{"expired", ""}
	case !found.ExpiresAt.After(found.IssuedAt.Time):
		return who, refusal{"bad_claims", "exp is not after iat"}
	case found.ExpiresAt.Sub(found.IssuedAt.Time) > maxLifetime:
		return who, refusal{"lifetime_too_long", ""}
	case kubernetes.WarnAfter != nil && now.After(kubernetes.WarnAfter.Time):
		return who, refusal{"expired", "warnafter has passed"}
	}
	return who, nil
}

func sessionEnd(tokenEnds int64, userNkey string, now time.Time) int64 {
	longest := max(0, min(tokenEnds-1-now.Unix(), int64(maxSession.Seconds())))
	share := float64(crc32.ChecksumIEEE([]byte(userNkey))%1000) / 1000
	return now.Unix() + longest - int64(float64(longest)*0.1*share)
}

func (r *responder) allow(request *jwt.AuthorizationRequestClaims, who workload, expires int64) (string, error) {
	account := r.accounts[who.namespace+"/"+who.name]
	user := jwt.NewUserClaims(request.UserNkey)
	user.Audience = r.account
	user.Name = who.username()
	user.Expires = expires
	own := who.namespace + ".>"
	name := strings.ReplaceAll(who.name, ".", "_")
	inboxes := []string{"_INBOX.>", "_INBOX_SA." + who.namespace + "." + name + ".>", "_INBOX_" + who.namespace + "_" + name + ".>"}
	user.Pub.Allow.Add(append([]string{own, "_INBOX.>", "_INBOX_SA.>"}, account.Publish...)...)
	user.Sub.Allow.Add(append(append([]string{own}, inboxes...), account.Subscribe...)...)
	signed, err := user.Encode(r.signer)
	if err != nil {
		return "", err
	}
	return r.respond(request, signed, "")
}

func (r *responder) respond(request *jwt.AuthorizationRequestClaims, user, problem string) (string, error) {
	response := jwt.NewAuthorizationResponseClaims(request.UserNkey)
	response.Audience = request.Server.ID
	response.Jwt = user
	response.Error = problem
	return response.Encode(r.signer)
}

func (r *responder) record(
	request *jwt.AuthorizationRequestClaims, who workload, expires int64, err error, took time.Duration,
) {
	fields := []any{
		"namespace", who.namespace, "serviceaccount", who.name, "pod", who.pod, "jti", who.jti,
		"client_host", request.ClientInformation.Host, "client_id", request.ClientInformation.ID,
		"connection", request.ConnectOptions.Name, "server", request.Server.Name,
		"ms", float64(took.Microseconds()) / 1000,
	}
	var no refusal
	if err == nil {
		r.allowed.Add(1)
		r.log.Info("allowed", append(fields, "expires_at", expires)...)
		return
	}
	r.denied.Add(1)
	if !errors.As(err, &no) {
		no = refusal{"internal", err.Error()}
	}
	r.log.Warn("denied", append(fields, "reason", no.reason, "detail", no.detail)...)
}

func run(log *slog.Logger) error {
	r := &responder{
		account:  os.Getenv("NATS_ACCOUNT"),
		issuers:  strings.Split(os.Getenv("JWT_ISSUER"), ","),
		audience: os.Getenv("JWT_AUDIENCE"),
		log:      log,
	}
	r.parser = gojwt.NewParser(
		gojwt.WithValidMethods([]string{"RS256", "ES256", "ES384", "ES512"}), gojwt.WithAudience(r.audience),
		gojwt.WithExpirationRequired(), gojwt.WithIssuedAt(), gojwt.WithLeeway(clockSkew),
	)
	var err error
	if r.signer, err = keepFile("NATS_SIGNING_KEY_FILE"); err != nil {
		return err
	}
	if r.keys, err = readKeys(os.Getenv("JWKS_FILE")); err != nil {
		return err
	}
	if r.accounts, err = readManifests(os.Getenv("SERVICE_ACCOUNTS_DIR")); err != nil {
		return err
	}
	user, err := keepFile("NATS_CREDS_FILE")
	if err != nil {
		return err
	}
	connection, err := nats.Connect(os.Getenv("NATS_URL"), nats.Nkey(user.public, user.Sign), nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	subscription, err := connection.QueueSubscribe("$SYS.REQ.USER.AUTH", "opponent", func(message *nats.Msg) {
		go r.handle(message, time.Now())
	})
	if err != nil {
		return err
	}
	if err := subscription.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
	log.Info("stopped", "let_in", r.allowed.Load(), "turned_away", r.denied.Load(), "dropped", r.dropped.Load())
	return connection.Drain()
}

func keepFile(variable string) (*keptKey, error) {
	seed, err := os.ReadFile(os.Getenv(variable))
	if err != nil {
		return nil, err
	}
	return keep(strings.TrimSpace(string(seed)))
}

func readManifests(folder string) (map[string]serviceAccount, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return nil, err
	}
	accounts := make(map[string]serviceAccount)
	for _, name := range files {
		body, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var list struct {
			Items []struct {
				Metadata struct {
					Namespace, Name, UID string
					Annotations          map[string]string
				}
			}
		}
		if err := json.Unmarshal(body, &list); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, item := range list.Items {
			meta := item.Metadata
			accounts[meta.Namespace+"/"+meta.Name] = serviceAccount{
				UID:       meta.UID,
				Publish:   entries(meta.Annotations["nats.io/allowed-pub-subjects"]),
				Subscribe: entries(meta.Annotations["nats.io/allowed-sub-subjects"]),
			}
		}
	}
	return accounts, nil
}

func entries(annotation string) []string {
	var found []string
	for _, entry := range strings.Split(annotation, ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			found = append(found, entry)
		}
	}
	return found
}

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if err := run(log); err != nil {
		log.Error("cannot serve", "error", err.Error())
		os.Exit(1)
	}
}
