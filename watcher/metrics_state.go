package watcher

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// What is read from the status: nothing is kept twice, and it cannot differ from what the
// status page says.
var (
	buildInfo = newMetric(prometheus.GaugeValue, "build_info", "1, with the version of the program.", "version")

	serviceTruth     = newMetric(prometheus.GaugeValue, "service_truth", "1 for what is known of a service: known, verified empty, or unknown because it could not be read.", "service", "truth")
	serviceAge       = newMetric(prometheus.GaugeValue, "service_age_seconds", "Time since the service was last read.", "service")
	serviceInstances = newMetric(prometheus.GaugeValue, "service_instances", "Instances that are served.", "service")
	serviceDraining  = newMetric(prometheus.GaugeValue, "service_draining", "Instances among them that get no new traffic.", "service")
	serviceRejected  = newMetric(prometheus.GaugeValue, "service_rejected", "Entries of the registry that were left out because they make no sense.", "service")
	serviceHeld      = newMetric(prometheus.GaugeValue, "service_held", "1 while the guard holds back a sudden loss of instances.", "service")
	serviceHolds     = newMetric(prometheus.CounterValue, "service_holds_total", "Times that the guard began to hold back a sudden loss of instances.", "service")
	servicePending   = newMetric(prometheus.GaugeValue, "service_pending", "1 while the proxy does not serve all of it yet.", "service")
	serviceChanges   = newMetric(prometheus.CounterValue, "service_changes_total", "Changes of the set that is served.", "service")
	serviceMissed    = newMetric(prometheus.CounterValue, "service_missed_events_total", "Changes that an audit found and no event had told.", "service")

	registrationHealthy   = newMetric(prometheus.GaugeValue, "registration_healthy", "1 while the checks of a local service pass.", "registration", "service")
	registrationAnnounced = newMetric(prometheus.GaugeValue, "registration_announced", "1 while the registry has it.", "registration", "service")
	registrationDraining  = newMetric(prometheus.GaugeValue, "registration_draining", "1 while it is drained or held out.", "registration", "service")
	registrationChecks    = newMetric(prometheus.CounterValue, "registration_checks_total", "Checks of a local service.", "registration", "service")
	registrationFails     = newMetric(prometheus.CounterValue, "registration_check_failures_total", "Checks that failed.", "registration", "service")
	registrationIgnored   = newMetric(prometheus.CounterValue, "registration_lag_ignored_total", "Failed checks that were no evidence because zkwatch itself was kept from running.", "registration", "service")
	registrationFlips     = newMetric(prometheus.CounterValue, "registration_flips_total", "Changes between healthy and not.", "registration", "service")

	registryConnected  = newMetric(prometheus.GaugeValue, "registry_connected", "1 while the registry answers.", "registry")
	registryReplyAge   = newMetric(prometheus.GaugeValue, "registry_reply_age_seconds", "Time since the last answer of the registry.", "registry")
	registryMissed     = newMetric(prometheus.CounterValue, "registry_missed_events_total", "Events that did not come, as audits found.", "registry")
	registryErrors     = newMetric(prometheus.CounterValue, "registry_watch_errors_total", "Watches that could not be set.", "registry")
	registryReconnects = newMetric(prometheus.CounterValue, "registry_reconnects_total", "Connections after the first one.", "registry")

	proxyUp      = newMetric(prometheus.GaugeValue, "proxy_up", "1 while the proxy answers.")
	proxyRefused = newMetric(prometheus.GaugeValue, "proxy_refused", "1 while the proxy does not run the configuration that it should.")
	proxyOld     = newMetric(prometheus.GaugeValue, "proxy_old_workers", "Replaced workers that still finish connections.")
	routeServers = newMetric(prometheus.GaugeValue, "route_servers", "Servers of a route in the proxy: ready, draining, down (of the ready), ejected (of the down), missing (not there yet).", "route", "state")
	routeSlots   = newMetric(prometheus.GaugeValue, "route_slots", "Places for servers of a route that need no reload.", "route")
)

// stateCollector reads the status once for each request.
type stateCollector struct{ w *Watcher }

// Describe implements prometheus.Collector. It sends none, so that what is collected is
// checked when it is: which samples there are depends on the configuration.
func (c stateCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c stateCollector) Collect(to chan<- prometheus.Metric) {
	s := c.w.Status("")
	buildInfo.send(to, 1, s.Version)
	for _, one := range s.Services {
		collectService(to, one, s.Started)
	}
	for _, r := range s.Registrations {
		collectRegistration(to, r)
	}
	for _, r := range s.Registries {
		registryConnected.send(to, oneIf(r.Connected), r.Name)
		registryReplyAge.send(to, age(r.LastReply, s.Started), r.Name)
		registryMissed.send(to, float64(r.MissedEvents), r.Name)
		registryErrors.send(to, float64(r.WatchErrors), r.Name)
		registryReconnects.send(to, float64(r.Reconnects), r.Name)
	}
	if s.HAProxy != nil {
		collectProxy(to, *s.HAProxy)
	}
}

func collectProxy(to chan<- prometheus.Metric, p ProxyStatus) {
	proxyUp.send(to, oneIf(p.Worker > 0))
	proxyRefused.send(to, oneIf(p.Refused != ""))
	proxyOld.send(to, float64(p.OldWorkers))
	for _, r := range p.Routes {
		routeSlots.send(to, float64(r.Slots), r.Route)
		for _, one := range []struct {
			state string
			n     int
		}{{"ready", r.Ready}, {"draining", r.Draining}, {"down", r.Down}, {"ejected", r.Ejected}, {"missing", r.Missing}} {
			routeServers.send(to, float64(one.n), r.Route, one.state)
		}
	}
}

func collectService(to chan<- prometheus.Metric, one ServiceStatus, started time.Time) {
	for _, truth := range []Truth{Known, Empty, Unknown} {
		serviceTruth.send(to, oneIf(one.Truth == truth), one.Service, string(truth))
	}
	draining := 0
	for _, i := range one.Instances {
		if i.Draining {
			draining++
		}
	}
	serviceAge.send(to, age(one.Read, started), one.Service)
	serviceInstances.send(to, float64(len(one.Instances)), one.Service)
	serviceDraining.send(to, float64(draining), one.Service)
	serviceRejected.send(to, float64(len(one.Rejected)), one.Service)
	serviceHeld.send(to, oneIf(one.Held != nil), one.Service)
	serviceHolds.send(to, float64(one.Holds), one.Service)
	servicePending.send(to, oneIf(one.Pending), one.Service)
	serviceChanges.send(to, float64(one.Changes), one.Service)
	serviceMissed.send(to, float64(one.Missed), one.Service)
}

func collectRegistration(to chan<- prometheus.Metric, r RegistrationStatus) {
	registrationHealthy.send(to, oneIf(r.Healthy), r.Name, r.Service)
	registrationAnnounced.send(to, oneIf(r.Announced), r.Name, r.Service)
	registrationDraining.send(to, oneIf(r.Draining || r.Held), r.Name, r.Service)
	registrationChecks.send(to, float64(r.Checks), r.Name, r.Service)
	registrationFails.send(to, float64(r.Fails), r.Name, r.Service)
	registrationIgnored.send(to, float64(r.Ignored), r.Name, r.Service)
	registrationFlips.send(to, float64(r.Flips), r.Name, r.Service)
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// age is how long ago something was; what never was counts from the start, so that an
// alarm on it goes off as well.
func age(at, started time.Time) float64 {
	if at.IsZero() {
		at = started
	}
	return max(0, time.Since(at).Seconds())
}
